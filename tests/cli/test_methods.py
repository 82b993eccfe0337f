"""LightFM and xLightFM from the command line: sizes, refusals in one line, a search that is told of and resumed."""

import json
import os
import re
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.progress import Progress
from tests.cli.test_resume import history, stop
from tests.conftest import FIELDS

pytestmark = pytest.mark.slow

CANDIDATES = (4, 8, 16, 32)
LIMIT = 3500  # the largest candidates would take 4,209 bytes
STEPS, EPOCHS, BATCH = 60, 2, 512  # 40 steps an epoch: a search of one and a half
SEARCHED = tuple(f"--candidates 4,8,16,32 --search-steps {STEPS} --subspaces 2 --linear-codewords 16".split())


def data(files):
    return ("--train", files.train, "--valid", files.valid, "--device", "cpu", "--batch-size", BATCH)


def searched(files, *more, budget=LIMIT):
    return (
        *("quantize", files.fm, "--method", "xlightfm", "--budget", budget, *data(files), *SEARCHED),
        *("--epochs", EPOCHS, "-o", "out.safetensors", *more),
    )


def test_lightfm_needs_no_budget(here, files):
    lightfm = (
        "quantize",
        files.fm,
        "--method",
        "lightfm",
        "--codewords",
        "32",
        "--subspaces",
        "2",
        "--layout",
        "plain",
    )
    planned = here(*lightfm, "--dry-run").stdout
    assert os.listdir() == []
    here(*lightfm, "-o", "a.safetensors")
    model = fc.load("a.safetensors")
    assert f"({model.file_bytes:,} bytes)" in planned
    assert os.stat("a.safetensors").st_size == model.file_bytes == model.header.origin.budget_bytes
    sizes = [quantizer.codewords for quantizer in model.header.quantizers]
    assert sizes == [(32, 32) if cardinality > 32 else () for _, cardinality in FIELDS]
    shown = json.loads(here("report", "a.safetensors", "--format", "json").stdout)
    assert shown["method"] == "lightfm"
    assert "lightfm, seed 0" in here("report", "a.safetensors").stdout
    here(*lightfm, "--budget", model.file_bytes, "-o", "b.safetensors")
    np.testing.assert_array_equal(fc.load("b.safetensors").values, model.values)


def test_lightfm_with_data_moves_its_codes(here, files):
    sizes = ("quantize", files.fm, "--method", "lightfm", "--codewords", "16", "--linear-codewords", "0")
    here(*sizes, *data(files), "--epochs", "0", "-o", "untuned.safetensors")
    here(*sizes, *data(files), "--epochs", "1", "-o", "moving.safetensors")
    here(*sizes, *data(files), "--epochs", "1", "--codes", "fixed", "-o", "fixed.safetensors")
    untuned, moving, fixed = (fc.load(f"{name}.safetensors") for name in ("untuned", "moving", "fixed"))
    assert untuned.header.quantizers == moving.header.quantizers == fixed.header.quantizers
    assert all(quantizer.linear_raw for quantizer in moving.header.quantizers)
    np.testing.assert_array_equal(fixed.codes, untuned.codes)
    assert not np.array_equal(moving.codes, untuned.codes)
    assert moving.header.origin.quality["artifact"].logloss < untuned.header.origin.quality["artifact"].logloss


REFUSALS = {
    "lightfm in too few bytes": ("--method lightfm --budget 3KB", r"budget of 3.0 KB .* has 13,018 bytes", 1),
    "xlightfm in too few bytes": ("--method xlightfm --budget 2000 TRAIN", "with the smallest candidates .* bytes", 1),
    "auto without a budget": ("--method auto", "method auto needs a budget", 2),
    "xlightfm without a budget": ("--method xlightfm TRAIN", "method xlightfm needs a budget", 2),
    "xlightfm without data": ("--method xlightfm --budget 6KB", "method xlightfm searches on data .*--train", 2),
    "codewords for auto": ("--budget 6KB --codewords 8", "--codewords belongs to --method lightfm", 2),
    "subspaces for auto": ("--budget 6KB --subspaces 2", "--subspaces belongs to --method lightfm or xlightfm", 2),
    "linear codewords for auto": ("--budget 6KB --linear-codewords 2", "--linear-codewords belongs to", 2),
    "candidates for lightfm": ("--method lightfm --candidates 4,8", "--candidates belongs to --method xlightfm", 2),
    "search for lightfm": ("--method lightfm --search darts", "--search belongs to --method xlightfm", 2),
    "another search": ("--method xlightfm --budget 6KB --search best TRAIN", "--search is 'best'", 2),
    "steps for lightfm": ("--method lightfm --search-steps 9", "--search-steps belongs to --method xlightfm", 2),
    "scope for auto": ("--budget 6KB --search-scope field", "--search-scope belongs to --method xlightfm", 2),
    "codewords for xlightfm": (
        "--method xlightfm --budget 6KB --codewords 8 TRAIN", "--codewords belongs to --method lightfm, not to xl", 2
    ),
    "distance for fixed codes": ("--method lightfm --codes fixed --distance mean", "--distance belongs to --codes", 2),
    "latents for fixed codes": ("--budget 6KB --codes fixed --latent-lr 1", "--latent-lr belongs to --codes mov", 2),
    "no method": ("--method best", "--method", 2),
    "no distance": ("--method lightfm --distance far", "--distance", 2),
    "no sizes": ("--method xlightfm --budget 6KB --candidates few", "--candidates is 'few', expected numbers", 2),
    "falling sizes": ("--method xlightfm --budget 6KB --candidates 8,4 TRAIN", "candidates are .*rising", 2),
    "a huge codebook": ("--method lightfm --codewords 5000", "codewords is 5000, expected 2 to 4096", 2),
    "too many subspaces": ("--method lightfm --subspaces 9", "subspaces is 9, .* 8 coordinates", 2),
    "no subspaces": ("--method lightfm --subspaces 0", "subspaces is 0", 2),
    "no steps": ("--method xlightfm --budget 6KB --search-steps 0 TRAIN", "search_steps is 0", 2),
    "cold": ("--method lightfm --temperature 0", "temperature is 0", 2),
    "a negative weight": ("--method lightfm --distance-weight -1", "distance_weight is -1", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_in_one_line(here, files, name):
    rest, says, rc = REFUSALS[name]
    arguments = [files.train if part == "TRAIN" else part for part in rest.replace("TRAIN", "--train TRAIN").split()]
    shown = here("quantize", files.fm, *arguments, "-o", "out.safetensors", rc=rc)
    assert shown.stdout == ""
    (line,) = shown.stderr.splitlines()
    assert line.startswith("error: ")
    assert re.search(says, line), line
    assert os.listdir() == []


def test_the_least_budget_that_a_refusal_names_works(here, files):
    refused = here(*searched(files, budget=100), rc=1).stderr
    least = int(refused.split("--budget ")[1].split()[0])
    assert here(*searched(files, "--dry-run", budget=least - 1), rc=1).stdout == ""
    assert (
        f"at most {least / 1000:.1f} KB ({least:,} bytes)" in here(*searched(files, "--dry-run", budget=least)).stdout
    )


@pytest.mark.parametrize("method", ["auto", "lightfm", "xlightfm"])
def test_dry_runs_write_nothing(here, files, method):
    shown = here("quantize", files.fm, "--method", method, "--budget", "20KB", *data(files), "--dry-run").stdout
    assert shown.startswith("fm.fmc.safetensors would have ")
    assert ("the search decides" in shown) == (method == "xlightfm")
    assert os.listdir() == []


@pytest.fixture(scope="module")
def unbroken(files, tmp_path_factory):
    """Return the folder of an unbroken search and tuning, by the Python interface."""
    folder = tmp_path_factory.mktemp("unbroken")
    space = fc.SpaceOptions(subspaces=2, candidates=CANDIDATES, linear_codewords=16)
    model = fc.quantize(
        fc.load_checkpoint(files.fm),
        LIMIT,
        method=fc.XLightFM(space, fc.SearchOptions(steps=STEPS)),
        train=files.train,
        valid=files.valid,
        device="cpu",
        tuning=fc.TuneOptions(batch_size=BATCH, epochs=EPOCHS, moving=fc.MovingOptions()),
        history=folder / "history.jsonl",
    )
    model.save(folder / "out.safetensors")
    return folder


def test_a_search_and_its_history(here, files, unbroken):
    model = fc.load(unbroken / "out.safetensors")
    assert model.file_bytes == (unbroken / "out.safetensors").stat().st_size <= LIMIT
    start, *lines, end = history(unbroken / "history.jsonl")
    assert (start["event"], start["method"]) == ("start", "xlightfm")
    assert "(4, 8, 16, 32)" in start.values()
    (result,) = (line for line in lines if line["event"] == "result")
    before, after = lines[: lines.index(result)], lines[lines.index(result) + 1 :]
    assert [line["step"] for line in before if line["event"] == "epoch"] == [40, STEPS]
    assert {line["stage"] for line in before} == {"search"} == {result["stage"]}
    assert {line["stage"] for line in after} == {"tuning"}
    for line in before:
        assert len(line["codewords"]) == len(FIELDS)
        assert set(np.ravel(line["codewords"])) <= {*CANDIDATES, 24, 30}  # of the small fields, all categories
        assert line["bytes"] <= line["selected_bytes"]  # planned; entropy coding saves some
    assert end["bytes"] == model.file_bytes <= result["result"]["bytes"]  # less what entropy coding saves
    chosen = dict(zip(model.schema.names, (list(q.codewords) for q in model.header.quantizers), strict=True))
    raw = {"city": 30, "hour": 24}
    expected = {name: [] if sizes == [raw.get(name)] * 2 else sizes for name, sizes in
                result["result"]["codewords"].items()}  # fmt: skip
    assert expected == chosen
    shown = json.loads(here("report", unbroken / "out.safetensors", "--format", "json").stdout)
    assert (shown["method"], shown["budget_bytes"]) == ("xlightfm", LIMIT)


def test_the_search_of_the_paper(here, files):
    here(*searched(files, "--search", "darts", "--history", "history.jsonl"))
    assert fc.load("out.safetensors").file_bytes <= LIMIT
    taus = [line["tau"] for line in history(Path("history.jsonl")) if line.get("stage") == "search" and "tau" in line]
    assert len(taus) == 2
    assert all(later < earlier <= 1 for earlier, later in pairwise(taus))


def test_killed_while_searching_and_while_tuning(fmcompress, files, unbroken):
    argv = [str(part) for part in searched(files, "--history", "history.jsonl")]
    rc, _ = stop(fmcompress, argv, at="search, epoch 1 of", sent=signal.SIGKILL)
    assert rc == -signal.SIGKILL
    rc, last = stop(fmcompress, [*argv, "--resume"], at="tuning, epoch 1 of", sent=signal.SIGINT)
    assert rc == 130
    assert "--resume goes on from epoch " in last[0]
    done = fmcompress(*argv, "--resume")
    assert "going on from epoch 2 of the tuning" in done.stderr
    assert "search, epoch" not in done.stderr
    assert (fmcompress.folder / "out.safetensors").read_bytes() == (unbroken / "out.safetensors").read_bytes()
    found = history(fmcompress.folder / "history.jsonl")
    assert found == history(unbroken / "history.jsonl")
    left = [name for name in os.listdir(fmcompress.folder) if not name.endswith(".tmp")]
    assert sorted(left) == ["history.jsonl", "out.safetensors"]


class Ended(Exception):
    pass


class EndingAfter(Progress):
    """Ends a run once it tells of something."""

    def __init__(self, said):
        self.said = said

    def note(self, message):
        if self.said in message:
            raise Ended


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ({"space": {"candidates": (4, 16)}}, r"candidates was \(4, 8, 16, 32\), and now it is \(4, 16\)"),
        ({"space": {"subspaces": 4}}, "subspaces was 2, and now it is 4"),
        ({"search": {"recipe": "darts"}}, "recipe was sampled, and now it is darts"),
        ({"search": {"alpha_lr": 2e-2}}, "alpha_lr was 0.01, and now it is 0.02"),
        ({"search": {"steps": 90}}, "steps was 60, and now it is 90"),
        ({"search": {"scope": "field"}}, "scope was codebook, and now it is field"),
    ],
    ids=str,
)
@pytest.mark.parametrize("said", ["search, epoch 1 of", "tuning, epoch 1 of"])
def test_another_search_is_not_gone_on_with(files, broken_off, method, says, said):
    with pytest.raises(fc.StateError, match=says):
        broken_off(said, **method)


@pytest.fixture(scope="module")
def broken_off(files, tmp_path_factory):
    """Return a function that breaks a run off where it tells of something, and resumes it with another method."""
    folder = tmp_path_factory.mktemp("broken")
    checkpoint = fc.load_checkpoint(files.fm)

    def quantize(state, space=None, search=None, **more):
        method = fc.XLightFM(
            fc.SpaceOptions(**{"subspaces": 2, "candidates": CANDIDATES, "linear_codewords": 16, **(space or {})}),
            fc.SearchOptions(**{"steps": STEPS, **(search or {})}),
        )
        settings = {"train": files.train, "valid": files.valid, "device": "cpu", "state": state}
        tuning = fc.TuneOptions(batch_size=BATCH, epochs=EPOCHS, moving=fc.MovingOptions())
        fc.quantize(checkpoint, LIMIT, method=method, tuning=tuning, **settings, **more)

    def resumed(said, **method):
        state = folder / said.split(",")[0]
        if not state.exists():
            with pytest.raises(Ended):
                quantize(state, progress=EndingAfter(said))
        quantize(state, resume=True, **method)

    return resumed
