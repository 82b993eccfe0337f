"""``fmcompress quantize --tables``, by the console script and in this process."""

import json

import numpy as np
import pytest

import fmcompress as fc
from tests.json_schema import problems, schema
from tests.tables.samples import vectors, zipf_counts

ARTIFACT = "tables.fmc.safetensors"


@pytest.fixture
def model(tmp_path):
    user, item = vectors(300, 8), vectors(100, 5)
    np.savez(tmp_path / "tables.npz", user=user, item=item)
    np.savez(tmp_path / "counts.npz", user=zipf_counts(300))
    return {"user": user, "item": item}


def test_the_console_script(fmcompress, model, tmp_path):
    done = fmcompress("quantize", "--tables", "tables.npz", "--budget", "3KB", "--counts", "counts.npz")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{ARTIFACT} has ")
    assert "tables: user 300 × 8, item 100 × 5" in done.stderr
    assert "no counts of 'item'" in done.stderr
    loaded = fc.load(tmp_path / ARTIFACT)
    assert loaded.file_bytes == (tmp_path / ARTIFACT).stat().st_size <= 3000
    assert loaded.table("user")[[3, 5]].shape == (2, 8)


def test_what_is_told_of_them(here, model, tmp_path):
    planned = here("quantize", "tables.npz", "--tables", "-b", "3KB", "--dry-run").stdout
    assert not (tmp_path / ARTIFACT).exists()
    assert here("quantize", "tables.npz", "--tables", "-b", "3KB").stdout == planned.replace("would have", "has")
    assert all(name in here("report", ARTIFACT).stdout for name in ("user", "item", "RMS error", "cosine"))
    found = json.loads(here("report", ARTIFACT, "--format", "json").stdout)
    assert problems(found, schema("tables")) == []
    assert [table["vectors"] for table in found["tables"]] == [300, 100]
    parts = ("codes_bytes", "codebook_bytes", "axes_bytes", "raw_bytes", "header_bytes")
    assert sum(found.get(part, 0) for part in parts) == found["file_bytes"]
    assert here("report", ARTIFACT, "--format", "markdown").stdout.startswith("## Memory report")
    assert here("report", ARTIFACT, "--format", "github").stdout.startswith("::notice title=Memory report")


WRONG = {
    "quantize --tables tables.npz --budget 100 -o b.safetensors": "the least that works",
    "quantize --tables tables.npz -f": "tables need a budget",
    "quantize --tables none.npz -b 3KB": "there is no such file",
    "quantize --tables tables.npz -b 3KB -f --train rows.parquet": "--train is for factorization machines",
    "quantize --tables tables.npz -b 3KB -f --method lightfm": "--method is for factorization machines",
    "quantize --tables tables.npz -b 3KB -f --fields user:3": "--fields is for factorization machines",
    "quantize --tables tables.npz -b 3KB -f --resume": "--resume is for factorization machines",
    "quantize --tables tables.npz -b 3KB -f --counts tables.npz": "it has no counts of 'user' and 'item'",
    "quantize --tables tables.npz -b 3KB -f --tables-keys nothing": "it has no nothing",
    "quantize --tables tables.npz -b 3KB -f -o tables.npz": "tables.npz",
    "quantize tables.npz -b 3KB -f --counts counts.npz": "--counts without --tables",
    "quantize tables.npz -b 3KB -f --tables-keys user": "--tables-keys without --tables",
    f"score {ARTIFACT} rows.parquet -o out.parquet": "holds tables of vectors, not a factorization machine",
    f"evaluate {ARTIFACT} --data rows.parquet": "holds tables of vectors, not a factorization machine",
    f"export {ARTIFACT} -o a.onnx": "holds tables of vectors, not a factorization machine",
    f"compare {ARTIFACT} {ARTIFACT}": "holds tables of vectors, not a factorization machine",
    f"check {ARTIFACT} --max-size 1MB": "holds tables of vectors, not a factorization machine",
    f"report {ARTIFACT} --format html": "a report of tables cannot be a html",
    f"report {ARTIFACT} --card": "a report of tables cannot be a card",
}


def test_what_cannot_be_done_is_told(here, model, tmp_path):
    here("quantize", "--tables", "tables.npz", "--budget", "3KB")
    before = {path.name for path in tmp_path.iterdir()}
    for command, says in WRONG.items():
        told = here(*command.split(), rc=1 if "budget 100" in command else 2).stderr
        assert says in told, command
        assert told.splitlines()[-1].startswith("error: "), command
    assert {path.name for path in tmp_path.iterdir()} == before
