"""Folders of torch.distributed.checkpoint: genuine ones of one process and of several, and damage of every kind."""

import os
import pickle
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp

from fmcompress.checkpoints import load_checkpoint, save_checkpoint
from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.errors import CheckpointError
from tests.checkpoints.samples import small_checkpoint

from .save_distributed import B, V, W

FIELDS = "user:7,item:5,cat:11"
STATE = {"embedding.embedding.weight": V, "linear.fc.weight": W, "linear.bias": B}
FILE = "__0_0.distcp"


def saved(folder, state):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save(state, checkpoint_id=folder, no_dist=True)
    return folder


def check_model(path):
    ckpt = load_checkpoint(path, fields=FIELDS)
    assert (ckpt.source.tool, ckpt.bias) == ("pytorch-fm", 1)
    np.testing.assert_array_equal(ckpt.embeddings, V)
    np.testing.assert_array_equal(ckpt.linear, W[:, 0])
    return ckpt


def test_a_state_dict_is_read(tmp_path):
    ckpt = check_model(saved(tmp_path / "x", STATE))
    assert len(ckpt.source.sha256) == 64


def test_a_model_is_found_beside_its_optimizer(tmp_path):
    weights = {key: torch.nn.Parameter(values.clone()) for key, values in STATE.items()}
    optimizer = torch.optim.Adam(weights.values())
    sum(values.sum() for values in weights.values()).backward()
    optimizer.step()
    state = {"model": STATE, "optim": optimizer.state_dict(), "epoch": 3, "tool": Path("x"), "rates": [0.1]}
    ckpt = check_model(saved(tmp_path / "x", {"app": state}))
    assert ckpt.source.also == ()
    assert check_model(saved(tmp_path / "y", state)).source.also == ("optim", "epoch", "tool", "rates")


def test_our_own_checkpoints_are_known_by_their_label(tmp_path):
    ckpt = small_checkpoint()
    save_checkpoint(ckpt, tmp_path / "fm.pt")
    loaded = load_checkpoint(saved(tmp_path / "x", torch.load(tmp_path / "fm.pt")))
    assert (loaded.schema, loaded.link, loaded.source.tool) == (ckpt.schema, ckpt.link, "fmcompress")
    np.testing.assert_array_equal(loaded.embeddings, ckpt.embeddings)
    np.testing.assert_array_equal(loaded.counts, ckpt.counts)


def test_numbers_beside_the_tensors_are_weights_where_the_caller_says_so(tmp_path):
    folder = saved(tmp_path / "x", {"v": V.half(), "w": W.bfloat16(), "b": 0.25})
    ckpt = load_checkpoint(folder, fields=FIELDS, keys="v=v,w=w,b=b", link="identity")
    assert ckpt.bias == 0.25
    np.testing.assert_array_equal(ckpt.linear, W[:, 0])


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    script = [sys.executable, str(Path(__file__).with_name("save_distributed.py"))]
    here = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    processes = [
        subprocess.Popen(
            [*script, str(rank), "2", str(folder / "store"), str(folder)],
            stderr=subprocess.PIPE,
            env={**os.environ, **here},
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    return folder


@pytest.mark.parametrize("name", ["rows", "columns", "rows-safetensors", "columns-safetensors"])
def test_models_of_two_processes_are_put_together(of_two_processes, name):
    check_model(of_two_processes / name)
    with closing(CheckpointFile(of_two_processes / name)) as file:
        tensor = file.parts[0].tensors["embedding.embedding.weight"]
        tensor.hold()
    for start, stop in [(0, 0), (3, 9), (10, 14), (11, 23)]:
        np.testing.assert_array_equal(tensor.read_rows(start, stop), V.numpy()[start:stop], strict=True)


def without_file(folder):
    (folder / FILE).unlink()


def cut_file(folder):
    (folder / FILE).write_bytes((folder / FILE).read_bytes()[:-8])


def cut_metadata(folder):
    (folder / ".metadata").write_bytes((folder / ".metadata").read_bytes()[:-8])


def changed_weights(folder):
    data = bytearray((folder / FILE).read_bytes())
    data[data.index(V.numpy().tobytes()) + 40] ^= 1
    (folder / FILE).write_bytes(data)


def metadata_of(value):
    return lambda folder: (folder / ".metadata").write_bytes(pickle.dumps(value))


def in_metadata(change):
    """Return what changes the metadata."""

    def damage(folder):
        with (folder / ".metadata").open("rb") as file:
            metadata = pickle.load(file)
        change(metadata)
        metadata_of(metadata)(folder)

    return damage


def chunk_of(metadata):
    return metadata.state_dict_metadata["linear.fc.weight"].chunks[0]


def info_of(metadata, name="linear.fc.weight"):
    return next(info for index, info in metadata.storage_data.items() if index.fqn == name)


def at(**changes):
    return in_metadata(lambda metadata: info_of(metadata).__dict__.update(changes))


def other_type(metadata):
    metadata.state_dict_metadata["linear.fc.weight"].properties.dtype = torch.float64


def complex_type(metadata):
    metadata.state_dict_metadata["linear.fc.weight"].properties.dtype = torch.complex64


def two_of_one(metadata):
    metadata.state_dict_metadata["linear.fc.weight"].chunks *= 2


def wider(metadata):
    metadata.state_dict_metadata["linear.fc.weight"].size = torch.Size([24, 1])


def other_place(metadata):
    chunk_of(metadata).offsets = torch.Size([1, 0])


def other_item(metadata):
    info_of(metadata).__dict__.update(info_of(metadata, "linear.bias").__dict__)


def inside_of_a_tensor(metadata):
    metadata.planner_data["linear.bias"] = ("linear.fc.weight", "bias")


def in_one_place(metadata):
    metadata.planner_data["linear.bias"] = ("linear.fc.weight",)


class Call:
    """What runs something when it is unpickled."""

    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_file, "its file __0_0.distcp is missing"),
        (cut_file, r"its file __0_0.distcp has [\d,]+ bytes, but its .metadata expects [\d,]+ or more"),
        (changed_weights, r"its file __0_0.distcp: a tensor cannot be read \(bad CRC-32\)|entry .* cannot be read"),
        (cut_metadata, r"its .metadata cannot be read \("),
        (metadata_of({"a": 1}), "its .metadata is of plain values, expected one of torch.distributed.checkpoint"),
        (metadata_of(torch.nn.Linear(1, 1)), "it asks to call|expected one of torch.distributed.checkpoint"),
        (metadata_of(Call()), r"it asks to call builtins\.print, which is refused; nothing was run"),
        (lambda folder: (folder / ".metadata").write_bytes(b""), "its .metadata cannot be read"),
        (lambda folder: (folder / ".metadata").write_bytes(b"hello"), "its .metadata cannot be read"),
        (at(relative_path="../__0_0.distcp"), "a file that it names is not in its folder"),
        (at(relative_path="other.distcp"), "its file other.distcp is missing"),
        (at(offset=2**40), "but its .metadata expects"),
        (at(offset=-1), "it names a place that cannot be"),
        (at(length="7"), "it names a place that is none"),
        (at(transform_descriptors=["zstd"]), "compressed or changed by an extension of torch"),
        (at(length=10), r"its file __0_0.distcp: the zip file cannot be read"),
        (in_metadata(other_item), "holds something else than the part of linear.fc.weight"),
        (in_metadata(other_type), "holds something else than the part of linear.fc.weight"),
        (in_metadata(complex_type), "is of type torch.complex64, expected plain numbers"),
        (in_metadata(two_of_one), "it names its parts again and again|do not make one tensor|more parts than"),
        (in_metadata(wider), r"the parts of linear.fc.weight have 23 numbers, which do not make one tensor of shape"),
        (in_metadata(other_place), "a part of linear.fc.weight stands nowhere"),
        (in_metadata(inside_of_a_tensor), "inside of something else"),
        (in_metadata(in_one_place), "has linear.fc.weight twice"),
        (in_metadata(lambda metadata: metadata.__dict__.pop("storage_data")), "cannot be read"),
        (in_metadata(lambda metadata: metadata.storage_data.clear()), "more parts than there are"),
        (in_metadata(lambda metadata: metadata.state_dict_metadata.update({"x": 1})), "something that is no entry"),
        (in_metadata(lambda metadata: metadata.state_dict_metadata.clear()), "found no tensors"),
    ],
)
def test_damage_is_one_line(tmp_path, capfd, damage, says):
    folder = saved(tmp_path / "x", STATE)
    damage(folder)
    with pytest.raises(CheckpointError, match=rf"^x: .*({says})") as caught:
        load_checkpoint(folder, fields=FIELDS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    assert capfd.readouterr().out == ""


def test_what_is_beside_the_tensors_is_not_run(tmp_path, capfd):
    folder = saved(tmp_path / "x", {**STATE, "call": Call()})
    assert capfd.readouterr().out == ""
    with pytest.raises(CheckpointError, match="also holds"):
        load_checkpoint(saved(tmp_path / "y", {**STATE, "mlp.weight": V}), fields=FIELDS)
    check_model(folder)
    assert capfd.readouterr().out == ""


def test_mutated_metadata_are_an_error_or_a_model(tmp_path):
    folder = saved(tmp_path / "x", {"model": STATE, "epoch": 3})
    data = (folder / ".metadata").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            changed[place] = rng.integers(0, 256)
        (folder / ".metadata").write_bytes(changed)
        said = ""
        try:
            load_checkpoint(folder, fields=FIELDS)
        except CheckpointError as error:
            said = str(error)
        assert (said.isprintable(), len(said) < 500) == (True, True)
