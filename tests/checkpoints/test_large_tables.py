"""Tables that stay in their file: whatever is made of them is made of the same tables in memory, byte by byte."""

import numpy as np
import pytest
from safetensors.numpy import save_file

import fmcompress as fc
from fmcompress.artifact.io import sealed_bytes
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_tuning_data
from fmcompress.errors import CheckpointError, FMCompressWarning
from fmcompress.fm import disk_table
from fmcompress.fm.disk_table import DiskTable
from fmcompress.pipeline import open_job
from tests.models import random_checkpoint, random_ids

SIZES = (2_000, 300, 5)
MODEL = random_checkpoint(SIZES, dim=8)
FIELDS = {f"f{number}": size for number, size in enumerate(SIZES)}
BUDGET = 10_000


def own(tmp_path):
    fc.save_checkpoint(MODEL, tmp_path / "own.safetensors")
    return lambda: fc.load_checkpoint(tmp_path / "own.safetensors")


def several_blocks(tmp_path):
    fc.save_checkpoint(random_checkpoint((70_000, 5), dim=4, counts=False), tmp_path / "own.pt")
    return lambda: fc.load_checkpoint(tmp_path / "own.pt")


def by_field(tmp_path):
    path, split = tmp_path / "by_field.safetensors", MODEL.schema.split
    tensors = {f"v.f{number}": table for number, table in enumerate(split(MODEL.embeddings))}
    tensors |= {f"w.f{number}": table[:, None] for number, table in enumerate(split(MODEL.linear))}
    save_file(tensors, path)
    return lambda: fc.load_checkpoint(path, fields=FIELDS, keys={"v": "v.{field}", "w": "w.{field}"})


def deepctr(tmp_path):
    import torch

    path, split = tmp_path / "deepctr.pt", MODEL.schema.split
    tensors = {f"embedding_dict.f{number}.weight": table for number, table in enumerate(split(MODEL.embeddings))}
    for number, table in enumerate(split(MODEL.linear)):
        tensors[f"linear_model.embedding_dict.f{number}.weight"] = table[:, None]
    tensors["out.bias"] = np.zeros(1, np.float32)
    torch.save({name: torch.from_numpy(np.ascontiguousarray(table)) for name, table in tensors.items()}, path)
    return lambda: fc.load_checkpoint(path)


def half(tmp_path):
    """A table in fp16 with numbers among its rows."""
    path = tmp_path / "half.safetensors"
    save_file({"v": np.concatenate([MODEL.embeddings, np.ones((1, 8))]).astype(np.float16)}, path)
    return lambda: fc.load_checkpoint(path, fields={**FIELDS, "price": "numeric"}, keys={"v": "v"})


@pytest.fixture
def on_disk(monkeypatch):
    def switch(limit=0):
        monkeypatch.setattr(disk_table, "LARGEST_IN_MEMORY", limit)

    return switch


@pytest.mark.parametrize("made", [own, several_blocks, by_field, deepctr, half])
def test_artifacts_are_the_same_wherever_the_tables_are(tmp_path, on_disk, made):
    load = made(tmp_path)
    in_memory = load()
    on_disk()
    large = load()
    assert isinstance(large.embeddings, DiskTable)
    assert not isinstance(in_memory.embeddings, DiskTable)
    np.testing.assert_array_equal(np.asarray(large.embeddings), in_memory.embeddings)
    assert sealed_bytes(fc.quantize(large, BUDGET)) == sealed_bytes(fc.quantize(in_memory, BUDGET))


def test_budgets_for_raw_numbers(tmp_path, on_disk):
    load = own(tmp_path)
    in_memory = load()
    on_disk()
    for budget in (30_000, 45_000, 200_000):
        assert sealed_bytes(fc.quantize(load(), budget)) == sealed_bytes(fc.quantize(in_memory, budget))


def test_with_data(tmp_path, on_disk):
    load = own(tmp_path)
    ids, labels = random_ids(MODEL.schema, 6000, seed=1), np.random.default_rng(1).integers(0, 2, 6000)
    files = {}
    for name, rows in (("train", slice(3000)), ("valid", slice(3000, None))):
        files[name] = tmp_path / f"{name}.parquet"
        write_rows(Batch(ids[rows], labels[rows].astype(np.float32)), MODEL.schema, files[name])
    # Scales by frequency are set in memory alone.
    tuning = fc.TuneOptions(epochs=2, reassign=fc.ReassignOptions(), batch_size=512, calibrate=False)
    in_memory = load()
    on_disk()
    large = load()
    found = [sealed_bytes(fc.quantize(one, BUDGET, tuning=tuning, **files)) for one in (large, in_memory)]
    assert found[0] == found[1]
    assert fc.evaluate(large, files["valid"]) == fc.evaluate(in_memory, files["valid"])


def test_codes_that_move_keep_all_embeddings_in_memory(tmp_path, on_disk):
    load, rows = own(tmp_path), tmp_path / "rows.parquet"
    write_rows(Batch(random_ids(MODEL.schema, 500), np.arange(500, dtype=np.float32) % 2), MODEL.schema, rows)
    on_disk()
    with pytest.warns(FMCompressWarning, match=r"keep all embeddings in memory.*221,280 bytes"):
        open_job(load(), method="lightfm", data=open_tuning_data(MODEL, rows, rows, DataOptions()))


def test_numbers_that_are_none(tmp_path, on_disk):
    table = np.zeros((1000, 4), np.float32)
    table[[700, 900], 2] = np.inf, np.nan
    save_file({"v": table}, tmp_path / "v.safetensors")
    on_disk()
    with pytest.raises(CheckpointError, match="embeddings hold NaN or infinite values, the first in row 700"):
        fc.load_checkpoint(tmp_path / "v.safetensors", fields={"a": 600, "b": 400}, keys={"v": "v"})
