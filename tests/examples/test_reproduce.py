"""The command that reproduces the paper's tables, on generated data: it runs, goes on where it was, and writes."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "paper"
MODULES = ("budgets", "cells", "grid", "recipes", "stopwatch", "work")


@pytest.fixture(scope="module")
def place(files, tmp_path_factory):
    """Return a folder with a set of data, its factorization machines, of which one is broken, and a page."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "data" / "tiny").mkdir(parents=True)
    for part in ("train", "valid", "test"):
        shutil.copy(getattr(files, part), folder / "data" / "tiny" / f"{part}.parquet")
    (folder / "work").mkdir()
    shutil.copy(files.fm, folder / "work" / "tiny-fm-seed3.pt")
    (folder / "work" / "tiny-fm-seed4.pt").write_bytes(b"broken")
    (folder / "page.md").write_text(
        "# Kept\n\n<!-- begin: examples/paper -->\nold\n<!-- end: examples/paper -->\n\nAlso kept\n"
    )
    return folder


def reproduce(place, *more, rc=0):
    options = "--data data --work work --sets tiny --epochs 1 --seeds 3,4 --search-steps 5 --darts-steps 5"
    argv = [sys.executable, FOLDER / "reproduce.py", *options.split(), "--results", "page.md", *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(argv, cwd=place, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == rc, done.stderr
    return done


def lines_of(page, title):
    return [line for line in page.splitlines() if line.startswith(f"| tiny | {title}")]


def test_what_is_there_stays_and_what_fails_is_said(place):
    reproduce(place, "--cells", "tiny-lightfm-256-seed3")
    (made,) = (place / "work").glob("tiny-lightfm-256-seed3-*.json")
    before = made.stat().st_mtime_ns
    cells = (
        "tiny-data-*,tiny-lightfm-256-*,tiny-xlightfm-darts-seed3,tiny-auto-seed3,tiny-md-seed3,tiny-loss-mean-seed3"
    )
    done = reproduce(place, "--cells", cells, "--jobs", "2", rc=1)
    assert made.stat().st_mtime_ns == before  # it is not made again
    assert "tiny-fm-seed4: FAILED, CheckpointError: " in done.stderr
    assert "tiny-lightfm-256-seed4: FAILED, needs tiny-fm-seed4, which failed" in done.stderr
    page = (place / "page.md").read_text()
    assert page.startswith("# Kept\n\n<!-- begin")
    assert page.endswith("<!-- end: examples/paper -->\n\nAlso kept\n")
    assert "old" not in page
    found = json.loads(made.read_text())["result"]
    (row, *_) = lines_of(page, "LightFM, K = 256")
    assert row.startswith(f"| tiny | LightFM, K = 256 | {found['test']['auc']:.5f} | {found['test']['logloss']:.5f} |")
    assert row.endswith(" 1 |")  # of two seeds
    for title in ("auto", "xLightFM, the paper's search", "func1"):
        assert "failed" not in lines_of(page, title)[0]
    assert "not run" in lines_of(page, "QR")[0]
    assert lines_of(page, "MD (base dim")
    assert "–" not in page


def test_cells_are_listed(place):
    listed = reproduce(place, "--cells", "tiny-lightfm-512-seed3", "--list").stdout
    assert listed.startswith("tiny-lightfm-512-seed3 ")
    assert listed.endswith(" missing\n")


@pytest.fixture
def grid(monkeypatch):
    """Return the modules of the example."""
    monkeypatch.syspath_prepend(EXAMPLES / "cells")
    monkeypatch.syspath_prepend(FOLDER)
    yield __import__("grid")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_keys_tell_settings_apart(place, grid, tmp_path):
    from cells import Place

    own = Place(place / "data", place / "work")
    study = grid.Study(own, "tiny", grid.Settings((3,), 1))
    longer = replace(study, settings=grid.Settings((3,), 2))
    shutil.copytree(place / "data", tmp_path / "data")
    shutil.copy(tmp_path / "data" / "tiny" / "valid.parquet", tmp_path / "data" / "tiny" / "test.parquet")
    elsewhere = replace(study, place=Place(tmp_path / "data", place / "work"))
    keys = [own.key(study.lightfm(3)), own.key(longer.lightfm(3)), elsewhere.place.key(elsewhere.lightfm(3))]
    keys += [own.key(study.lightfm(3, 512)), own.key(study.lightfm(4)), own.key(study.loss("mean", 3))]
    assert len(set(keys)) == len(keys)
    assert own.key(study.lightfm(3)) == Place(place / "data", place / "work").key(study.lightfm(3))
    # What a cell starts from is part of its key: the bytes of LightFM depend on its epochs' cell.
    assert own.key(study.auto(3)) != own.key(replace(longer, settings=grid.Settings((3,), 2)).auto(3))
    assert own.key(study.counted()) == own.key(longer.counted())


def test_tuning_that_was_broken_off_goes_on(place, grid):
    """A state and a history that a break left behind are taken up."""
    from cells import Place
    from making import carry_out
    from recipes import fc

    study = grid.Study(Place(place / "data", place / "work"), "tiny", grid.Settings((3,), 2))
    cell = study.lightfm(3, 64)
    carry_out(study.place, study.fm(3))

    class Break(Exception):
        pass

    real = fc.quantize

    def broken(*args, progress, **options):
        def note(message):
            if "epoch 1 " in message:
                raise Break

        progress.note = note
        return real(*args, progress=progress, **options)

    fc.quantize = broken
    try:
        with pytest.raises(SystemExit):
            carry_out(study.place, cell)
    finally:
        fc.quantize = real
    assert study.place.failure(cell) == "Break:"
    assert study.place.file(cell, ".resume").exists()
    carry_out(study.place, cell)
    assert study.place.failure(cell) is None
    found = study.place.result(cell)
    assert found["resumed"]
    assert [line["epoch"] for line in found["curve"]] == [0, 1, 2]
