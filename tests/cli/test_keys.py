"""Hashed keys of 64 bits through the commands: given with --vocab, carried in the artifact, looked up in data."""

import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import FIELDS

pytestmark = pytest.mark.slow

NAME, SIZE = FIELDS[0]


@pytest.fixture(scope="module")
def keyed(files, tmp_path_factory):
    """Return a folder with keys of one field, and the test rows with keys in it, as Parquet and as CSV."""
    folder = tmp_path_factory.mktemp("keys")
    keys = np.random.default_rng(0).integers(0, 2**64, SIZE, dtype=np.uint64)
    keys[:2] = 2**64 - 1, 0
    pq.write_table(pa.table({"field": [NAME] * SIZE, "key": keys}), folder / "keys.parquet")
    rows = pq.read_table(files.test)
    column = pa.array(keys[rows[NAME].to_numpy()].view(np.int64))
    rows = rows.set_column(rows.column_names.index(NAME), NAME, column)
    pq.write_table(rows, folder / "test.parquet")
    with (folder / "test.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows.column_names)
        writer.writerows(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))
    return folder


def test_keys_are_carried_and_looked_up(here, files, keyed, tmp_path):
    vocab = ("--vocab", keyed / "keys.parquet")
    assert f"{SIZE:,} keys, which take" in here("inspect", files.fm, *vocab).stdout
    (field, *_) = json.loads(here("inspect", files.fm, *vocab, "--format", "json").stdout)["fields"]
    made = here("quantize", files.fm, *vocab, "--budget", "16KB", "--with-vocab", "-o", "a.safetensors").stdout
    assert "they are in it" in made
    report = json.loads(here("report", "a.safetensors", "--format", "json").stdout)
    assert report["keys_bytes"] == field["key_bytes"] == report["keys"][0]["bytes"]
    assert (report["keys"][0]["field"], report["keys"][0]["keys"], field["keys"]) == (NAME, SIZE, SIZE)
    assert report["file_bytes"] <= 16_000
    found = [
        json.loads(here("evaluate", *model, "--data", keyed / data, "--format", "json").stdout)["models"][0]["auc"]
        for model in (("a.safetensors",), ("a.safetensors", *vocab))
        for data in ("test.parquet", "test.csv")
    ]
    assert len(set(found)) == 1
    for data, to in (("test.parquet", "a.parquet"), ("test.csv", "b.parquet")):
        here("score", "a.safetensors", keyed / data, "-o", to)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_without_the_option_the_artifact_takes_ids_and_says_what_keys_take(here, files, keyed):
    vocab = ("--vocab", keyed / "keys.parquet")
    assert (
        "not in it, --with-vocab" in here("quantize", files.fm, *vocab, "--budget", "9KB", "-o", "a.safetensors").stdout
    )
    assert "not in it" in here("quantize", files.fm, *vocab, "--budget", "9KB", "--dry-run", "-o", "b").stdout
    by_ids, by_keys = (
        json.loads(here("evaluate", "a.safetensors", "--data", *data, "--format", "json").stdout)["models"][0]["auc"]
        for data in ((files.test,), (keyed / "test.csv", *vocab))
    )
    assert by_ids == by_keys
    failed = here("evaluate", "a.safetensors", "--data", files.test, *vocab, rc=2)
    assert failed.stderr.startswith("error: ")
    assert "is none of the vocabulary (--oov zero counts such keys and skips them)" in failed.stderr
