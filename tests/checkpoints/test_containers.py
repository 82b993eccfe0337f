"""One model in files of every kind: the same weights, in memory and where large tables stay in their file."""

import json
import warnings

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from fmcompress.checkpoints import load_checkpoint
from fmcompress.fm import disk_table
from fmcompress.fm.disk_table import DiskTable

V = torch.from_numpy(np.random.default_rng(0).normal(size=(23, 3)).astype(np.float32))
STATE = {
    "embedding.embedding.weight": V,
    "linear.fc.weight": V[:, :1].clone(),
    "linear.bias": torch.ones(1),
}


def shards(path):
    path.mkdir()
    for number, (key, values) in enumerate(STATE.items()):
        save_file({key: values}, path / f"{number}.safetensors")
    places = {key: f"{number}.safetensors" for number, key in enumerate(STATE)}
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))


def distributed(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no process group
        dcp.save(STATE, checkpoint_id=path, no_dist=True)


def arrays(save):
    def write(path):
        with path.open("wb") as file:
            save(file, **{key: values.numpy() for key, values in STATE.items()})

    return write


WAYS = {
    "torch": lambda path: torch.save(STATE, path),
    "torch, turned": lambda path: torch.save({**STATE, "embedding.embedding.weight": V.T.contiguous().T}, path),
    "safetensors": lambda path: save_file(STATE, path),
    "npz": arrays(np.savez),
    "compressed npz": arrays(np.savez_compressed),
    "shards": shards,
    "distributed": distributed,
}


@pytest.mark.parametrize("largest", [2**30, 0], ids=["in memory", "on the disk"])
@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
def test_the_weights_are_the_same(tmp_path, monkeypatch, write, largest):
    monkeypatch.setattr(disk_table, "LARGEST_IN_MEMORY", largest)
    write(tmp_path / "fm")
    keys = "v=embedding.embedding.weight,w=linear.fc.weight,b=linear.bias"
    for given in ({}, {"keys": keys}):
        ckpt = load_checkpoint(tmp_path / "fm", fields="user:7,item:5,cat:11", **given)
        assert isinstance(ckpt.embeddings, DiskTable) == (not largest)
        np.testing.assert_array_equal(ckpt.embeddings[:], V, strict=False)
        np.testing.assert_array_equal(ckpt.embeddings[np.array([5, 3, 22])], V[[5, 3, 22]])
        np.testing.assert_array_equal(ckpt.linear, V[:, 0])
