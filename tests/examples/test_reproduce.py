"""The command that reproduces the paper's tables, on generated data: it runs, goes on where it was, and writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "examples" / "paper" / "reproduce.py"


@pytest.fixture(scope="module")
def place(files, tmp_path_factory):
    """Return a folder with a set of data, its factorization machine, and a page."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "data" / "tiny").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        shutil.copy(getattr(files, part), folder / "data" / "tiny" / f"{part}.parquet")
    (folder / "work").mkdir()
    shutil.copy(files.fm, folder / "work" / "tiny.pt")
    (folder / "page.md").write_text(
        "# Kept\n\n<!-- begin: examples/paper -->\nold\n<!-- end: examples/paper -->\n\nAlso kept\n"
    )
    return folder


def reproduce(place, *more):
    options = "--data data --work work --sets tiny --epochs 1 --seeds 3 --search-steps 5 --results page.md"
    argv = [sys.executable, SCRIPT, *options.split(), *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    return done


def test_tables_of_all_runs(place):
    done = reproduce(place, "--jobs", "2", "--no-timings")
    made = sorted((place / "work").glob("*.json"))
    assert len(done.stderr.splitlines()) == len(made) == 14
    page = (place / "page.md").read_text()
    assert page.startswith("# Kept\n\n<!-- begin")
    assert page.endswith("<!-- end: examples/paper -->\n\nAlso kept\n")
    assert "old" not in page
    for title in ("### Table 2", "### Codes that move", "### Figure 4"):
        assert title in page
    found = json.loads((place / "work" / "tiny-lightfm-64-popularity-1epochs-seed3.json").read_text())
    row = (
        f"| tiny | LightFM, K = 64 | {found['test']['auc']:.5f} | {found['test']['logloss']:.5f} | {found['bytes']:,} |"
    )
    assert row in page
    times = {path: path.stat().st_mtime_ns for path in made}
    assert reproduce(place, "--no-timings").stderr == ""  # nothing is done twice
    assert {path: path.stat().st_mtime_ns for path in made} == times
