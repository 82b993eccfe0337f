"""Which tensors of a file are taken as tables, and what they are called."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

import fmcompress as fc
from fmcompress.errors import CheckpointError
from fmcompress.progress import Progress


class Notes(Progress):
    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.user_emb = nn.Embedding(9, 4, padding_idx=0)
        self.item_emb = nn.Embedding(7, 4)
        self.mlp = nn.Linear(4, 4)
        self.projection = nn.Linear(4, 3, bias=False)


class DLRM(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(size, 4) for size in (5, 6))
        self.bot_l = nn.Sequential(nn.Linear(3, 4), nn.ReLU())


def saved(tmp_path, found, name="model.pt"):
    torch.save(found, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("wrapped", "names"),
    [
        (lambda model: model.state_dict(), ["user_emb", "item_emb"]),
        (lambda model: {"model": model.state_dict(), "epoch": 3}, ["user_emb", "item_emb"]),
        (lambda model: nn.DataParallel(model).state_dict(), ["user_emb", "item_emb"]),
        (lambda model: {f"net.{key}": value for key, value in model.state_dict().items()}, ["user_emb", "item_emb"]),
        (lambda model: model, ["user_emb", "item_emb"]),
        (lambda model: model.bfloat16().state_dict(), ["user_emb", "item_emb"]),
    ],
)
def test_embeddings_among_layers(tmp_path, wrapped, names):
    model = TwoTowers()
    notes = Notes()
    tables = fc.load_tables(saved(tmp_path, wrapped(model)), progress=notes)
    assert list(tables.vectors) == names
    expected = model.user_emb.weight.detach().float().numpy()
    np.testing.assert_array_equal(tables.vectors["user_emb"], expected)
    assert tables.schema.fields[0].zeros == (0,)
    assert any("left out: " in line and "mlp.weight" in line and "projection.weight" in line for line in notes.lines)


def test_lists_of_embeddings(tmp_path):
    assert list(fc.load_tables(saved(tmp_path, DLRM().state_dict())).vectors) == ["emb_l.0", "emb_l.1"]


def test_plain_files_of_tables(tmp_path):
    tables = {"user": np.ones((4, 2), np.float32), "item": np.ones((3, 5), np.float16)}
    counts = {"user": np.array([3, 0, 1, 2])}
    np.savez(tmp_path / "a.npz", **tables, **{"user.counts": counts["user"]})
    save_file({**tables, "user.counts": counts["user"]}, tmp_path / "a.safetensors")
    torch.save({name: torch.from_numpy(table) for name, table in tables.items()}, tmp_path / "a.pt")
    np.savez(tmp_path / "counts.npz", **counts)
    save_file({"user.counts": counts["user"]}, tmp_path / "counts.safetensors")
    given = [("a.npz", None), ("a.safetensors", None), ("a.pt", "counts.npz"), ("a.pt", "counts.safetensors")]
    for file, of in given:
        found = fc.load_tables(tmp_path / file, counts=None if of is None else tmp_path / of)
        assert list(found.vectors) == ["user", "item"]
        np.testing.assert_array_equal(found.counts["user"], counts["user"])
        assert "item" not in found.counts


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        ("model.mlp.weight", ["mlp"]),
        ("u=model.user_emb.weight,model.item_emb.weight", ["u", "item_emb"]),
        ("*_emb.weight", ["user_emb", "item_emb"]),
        ("{table}_emb.weight", ["user", "item"]),
        ("model.{table}_emb.weight", ["user", "item"]),
    ],
)
def test_keys_that_are_named(tmp_path, keys, names):
    states = {f"model.{key}": value for key, value in TwoTowers().state_dict().items()}
    assert list(fc.load_tables(saved(tmp_path, states), keys=keys).vectors) == names


@pytest.mark.parametrize(
    ("keys", "error", "says"),
    [
        ("none", fc.CheckpointError, "model.pt: it has no none"),
        ("none.*", fc.CheckpointError, "no table has a key like none"),
        ("mlp.bias", fc.CheckpointError, "is no table"),
        ("a=", fc.UsageError, "expected KEY"),
        ("", fc.UsageError, "expected KEY"),
        ("a=*", fc.UsageError, "a name is of one key"),
    ],
)
def test_keys_that_make_no_sense(tmp_path, keys, error, says):
    with pytest.raises(error, match=says):
        fc.load_tables(saved(tmp_path, TwoTowers().state_dict()), keys=keys)


def test_what_is_not_clear_is_told(tmp_path):
    unclear = saved(tmp_path, {"a.weight": torch.ones(3, 2), "b.weight": torch.ones(4, 3), "b.bias": torch.ones(4)})
    with pytest.raises(fc.CheckpointError, match="not clear which of its tensors are tables") as caught:
        fc.load_tables(unclear)
    assert "--tables-keys" in caught.value.hint
    with pytest.raises(fc.CheckpointError, match="no floats of two dimensions"):
        fc.load_tables(saved(tmp_path, {"a": torch.ones(3, 2, 1), "b": torch.ones(4, 4, dtype=torch.int64)}))
    state = TwoTowers().state_dict()
    with pytest.raises(fc.CheckpointError, match="under 'model' and 'ema'"):
        fc.load_tables(saved(tmp_path, {"model": state, "ema": state}))
    assert list(fc.load_tables(tmp_path / "model.pt", key="ema").vectors) == ["user_emb", "item_emb"]


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"nonsense")
    for path, says in (
        (tmp_path / "none.pt", "no such file"),
        (tmp_path, "directory"),
        (tmp_path / "a.pt", "no tensors"),
    ):
        with pytest.raises(fc.CheckpointError, match=says):
            fc.load_tables(path)
    model = saved(tmp_path, TwoTowers().state_dict())
    with pytest.raises(fc.CheckpointError, match="it has no counts of 'user_emb' and 'item_emb'"):
        fc.load_tables(model, counts=model)
    fc.quantize_tables(fc.load_tables(model), "10KB").save(tmp_path / "b.safetensors")
    with pytest.raises(fc.CheckpointError, match="it is an artifact"):
        fc.load_tables(tmp_path / "b.safetensors")


def test_a_small_file_of_many_numbers(tmp_path):
    with pytest.raises(fc.CheckpointError, match=r"far more numbers than bytes|beyond its storage"):
        fc.load_tables(saved(tmp_path, {"emb.weight": torch.ones(1, 1).expand(10**6, 10**4)}))


def test_tables_in_shards(tmp_path):
    places = {}
    for name, size in (("user_emb", 5), ("item_emb", 7)):
        save_file({f"{name}.weight": np.full((size, 3), size, np.float32)}, tmp_path / f"{name}.safetensors")
        places[f"{name}.weight"] = f"{name}.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    found = [fc.load_tables(tmp_path), fc.load_tables(tmp_path / "model.safetensors.index.json")]
    assert [{name: own.shape for name, own in tables.vectors.items()} for tables in found] == [
        {"user_emb": (5, 3), "item_emb": (7, 3)}
    ] * 2
    (tmp_path / "item_emb.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"1 of its 2 shards are missing: 'item_emb\.safetensors'"):
        fc.load_tables(tmp_path)
