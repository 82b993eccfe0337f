"""Tuning and search on a GPU: as on the CPU at first, and the same bytes each time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import count_categories, open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.lookup import sum_by_row
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.tuner import begin_tuning
from fmcompress.fm.schema import Schema
from fmcompress.methods.code_updates import code_update
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions
from fmcompress.methods.xlightfm.search import begin_search, search
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.methods.xlightfm.supernet import start_search
from fmcompress.quantization.measurements import Measurements
from tests.finetuned import finetune
from tests.models import origin

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")]

SCHEMA = Schema.of([("user", 300), ("item", 200), ("city", 12)])
CLICKS = random_click_model(SCHEMA, dim=6, seed=0)
TEACHER = fc.FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
OPTIONS = TuneOptions(epochs=2, batch_size=256)
CODES = {"fixed": None, "moving": MovingOptions(), "moving, no distance loss": MovingOptions(distance="none")}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        write_rows(draw_clicks(CLICKS, 3000, seed=seed), SCHEMA, folder / f"{name}.parquet")
    return [open_rows(folder / f"{name}.parquet", SCHEMA) for name in ("train", "valid")]


@pytest.fixture(scope="module")
def untuned():
    return fc.quantize(TEACHER, 2600)


@pytest.fixture(scope="module")
def start(rows):
    space = lay_out(TEACHER, SpaceOptions(subspaces=2, candidates=(4, 8, 16)), origin(budget_bytes=4000))
    return start_search(Measurements(replace(TEACHER, counts=count_categories(rows[0]))), space, seed=0)


def parameters(run):
    """Return the parameters, dense and on the CPU."""
    return {name: value.detach().cpu().numpy() for name, value in run.module.named_parameters()}


def assert_close_after_a_step(make, rows):
    """Check that a run on the GPU takes the first step that it takes on the CPU."""
    batch = next(shuffled(rows[0], 256, seed=0))
    runs = {device: make(device) for device in ("cpu", "cuda")}
    losses = {device: float(run.step(batch)) for device, run in runs.items()}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-5)
    expected, found = parameters(runs["cpu"]), parameters(runs["cuda"])
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        # Adam's first step has the sign of a gradient: where that is all but 0, it is a matter of rounding.
        near = np.isclose(found[name], array, rtol=1e-3, atol=1e-4)
        assert near.mean() > 0.99, name


@pytest.mark.parametrize("codes", CODES)
def test_the_first_step_of_tuning_is_that_of_the_cpu(rows, untuned, codes):
    def make(device):
        options = replace(OPTIONS, moving=CODES[codes], device=device)
        codes_of = code_update(options, TEACHER, untuned.tiers)
        return begin_tuning(untuned, TEACHER, options, codes_of, steps=10)

    assert_close_after_a_step(make, rows)


@pytest.mark.parametrize("codes", CODES)
def test_tuning_gives_the_same_bytes_each_time(rows, untuned, codes):
    before = score_rows(untuned, rows[1])
    options = replace(OPTIONS, moving=CODES[codes], device="cuda")
    counts = count_categories(rows[0])
    first, second = (
        finetune(untuned, *rows, teacher=TEACHER, start=before, options=options, counts=counts) for _ in range(2)
    )
    assert first.scores.logloss < before.logloss
    assert first.model.bias == second.model.bias
    for name in ("values", "codes"):
        np.testing.assert_array_equal(getattr(first.model, name), getattr(second.model, name))


@pytest.mark.parametrize("recipe", ["sampled", "darts"])
def test_the_first_step_of_the_search_is_that_of_the_cpu(rows, start, recipe):
    def make(device):
        return begin_search(start, rows[1], SearchOptions(recipe), replace(OPTIONS, device=device), steps=20)

    assert_close_after_a_step(make, rows)


@pytest.mark.parametrize("recipe", ["sampled", "darts"])
def test_the_search_gives_the_same_architecture_each_time(rows, start, recipe):
    tuning = replace(OPTIONS, device="cuda")
    first, second = (search(start, *rows, SearchOptions(recipe, steps=40), tuning=tuning) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert start.space.fits(first)


def test_a_whole_job_gives_the_same_bytes_each_time(rows, tmp_path):
    method = fc.XLightFM(SpaceOptions(subspaces=2, candidates=(4, 8, 16)), SearchOptions(steps=20))
    for name in "ab":
        fc.quantize(
            TEACHER,
            4000,
            method=method,
            train=rows[0].files[0],
            valid=rows[1].files[0],
            device="cuda",
            tuning=replace(OPTIONS, moving=MovingOptions()),
        ).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_sums_by_row_are_those_of_the_cpu():
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(rng.integers(0, 50, (200, 7)))
    weights, values = (torch.tensor(rng.normal(size=shape), dtype=torch.float32) for shape in ((200, 7), (200, 5)))
    found = sum_by_row(rows.cuda(), weights.cuda(), values.cuda(), 60)
    np.testing.assert_allclose(found.cpu(), sum_by_row(rows, weights, values, 60), rtol=1e-4, atol=1e-5)
