"""The command that draws the size-quality curves of all systems, on generated data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = Path(__file__).parents[2] / "examples" / "benchmark" / "benchmark.py"


@pytest.fixture(scope="module")
def place(files, tmp_path_factory):
    """Return a folder with a set of data and its factorization machines, of which one is broken."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "data" / "tiny").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        shutil.copy(getattr(files, part), folder / "data" / "tiny" / f"{part}.parquet")
    (folder / "work").mkdir()
    shutil.copy(files.fm, folder / "work" / "tiny-fm-seed3.pt")
    (folder / "work" / "tiny-fm-seed4.pt").write_bytes(b"broken")
    return folder


def benchmark(place, *more, rc=0):
    systems = "auto,auto-without-data,rowwise-int4,uniform-pq"
    options = f"--data data --work work --sets tiny --seeds 3,4 --ratios 2,4,4000 --epochs 1 --systems {systems}"
    argv = [sys.executable, COMMAND, *options.split(), "--baseline-epochs", "1", "--results", "page.md", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == rc, done.stderr
    return done


def rows_of(page, start):
    return [line.split(" | ") for line in page.splitlines() if line.startswith(f"| {start} |")]


def test_curves_are_made_once_and_written(place):
    done = benchmark(place, rc=1)
    assert "tiny-fm-seed4: FAILED, CheckpointError: " in done.stderr
    page = (place / "page.md").read_text()
    auc, logloss = rows_of(page, "`auto`")
    made = {path.name.rsplit("-", 1)[0]: path for path in (place / "work").glob("*.json")}
    points = json.loads(made["tiny-auto-seed3"].read_text())["result"]["points"]
    source = json.loads(made["tiny-fm-seed3"].read_text())["result"]
    assert [point["bytes"] * point["ratio"] <= source["bytes"] for point in points[:2]] == [True, True]
    assert "missed" in points[2]  # no file is so small
    change = points[0]["test"]["auc"] - source["test"]["auc"]
    assert auc[1] == f"{change:+.5f}".replace("-", "−")
    assert auc[3:] == ["–", "1 |"]
    assert logloss[1].endswith("%")
    assert rows_of(page, "rowwise-int4")
    assert "benchmark-tiny.svg" in page
    before = made["tiny-auto-seed3"].stat().st_mtime_ns
    assert "FAILED" in benchmark(place, rc=1).stderr
    assert made["tiny-auto-seed3"].stat().st_mtime_ns == before


def test_unknown_systems_are_refused(place):
    assert "magic" in benchmark(place, "--systems", "magic", rc=2).stderr
