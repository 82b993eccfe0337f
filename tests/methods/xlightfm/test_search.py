"""The search for codebook sizes: its temperature, the memory limit, what it ends in, and resuming it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import count_categories, open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import RawRows
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.schema import Schema
from fmcompress.methods.lightfm.code_assignment import LatentStart
from fmcompress.methods.xlightfm.candidate_codebooks import CandidateCodebooks
from fmcompress.methods.xlightfm.darts import DartsSearch
from fmcompress.methods.xlightfm.gumbel import Architecture, WeightDescent, temperature
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions
from fmcompress.methods.xlightfm.prices import Prices
from fmcompress.methods.xlightfm.sampled import SampledSearch
from fmcompress.methods.xlightfm.search import begin_search, search
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.methods.xlightfm.supernet import start_search
from fmcompress.quantization.measurements import Measurements
from fmcompress.training import run_state as run_state_module
from fmcompress.training.run_state import RunFiles, open_run_state
from tests.conftest import SEED
from tests.models import origin, plain_logits, random_ids

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 80), ("item", 50), ("city", 20), ("kind", 3)])
CLICKS = random_click_model(SCHEMA, dim=4, seed=SEED)
CHECKPOINT = fc.FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
SPACE = SpaceOptions(subspaces=2, candidates=(4, 8, 16, 32), linear_codewords=4)
SMALLEST = lay_out(CHECKPOINT, SPACE, origin()).file_bytes(np.zeros((3, 2), dtype=np.int64))
TUNING = TuneOptions(batch_size=128, moving=MovingOptions())
RECIPES = pytest.mark.parametrize("recipe", ["sampled", "darts"])


def space(budget_bytes=10_000):
    return lay_out(CHECKPOINT, SPACE, origin(budget_bytes=budget_bytes))


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        write_rows(draw_clicks(CLICKS, 1000, seed=seed), SCHEMA, folder / f"{name}.parquet")
    return [open_rows(folder / f"{name}.parquet", SCHEMA) for name in ("train", "valid")]


@pytest.fixture(scope="module")
def start(rows):
    """Return a function from a budget to where a search under it starts."""
    counts = count_categories(rows[0])
    begun = start_search(Measurements(replace(CHECKPOINT, counts=counts)), space(), seed=0)
    return lambda budget: replace(begun, space=space(budget))


def test_temperature():
    assert temperature(0) == 1
    assert temperature(1000) == pytest.approx(0.7)
    assert temperature(3330) == pytest.approx(0.001)
    assert temperature(10**6) == 0.001


def test_draws():
    found = Architecture(space(), "codebook", seed=0)
    assert found.weights.shape == (3, 2, 4)
    torch.testing.assert_close(found.weights.norm(dim=2), torch.ones(3, 2))
    warm, cold = found.sample(1.0), found.sample(0.001)
    torch.testing.assert_close(warm.sum(dim=2), torch.ones(3, 2))
    assert (cold.max(dim=2).values > 0.99).float().mean() > 0.8
    shared = Architecture(space(), "field", seed=0)
    assert shared.weights.shape == (3, 1, 4)
    draw = shared.sample(1.0)
    torch.testing.assert_close(draw[:, 0], draw[:, 1])


def test_over_the_limit_larger_candidates_have_not_grown():
    """Equation 14."""
    roomy, tight = Architecture(space(), "codebook", seed=0), Architecture(space(SMALLEST), "codebook", seed=0)
    for found in (roomy, tight):
        before = found.weights.detach().clone()
        with torch.no_grad():
            found.weights[:, :, 3] *= 2  # the largest is selected now
            found.weights[:, :, 1] *= 1.5
        found.hold(before)
        torch.testing.assert_close(found.weights.norm(dim=2), torch.ones(3, 2))
    assert (roomy.selected() == 3).all()
    # Selected last were the first candidates, of equal weights: none of the larger or equal ones may grow.
    torch.testing.assert_close(tight.weights.detach(), torch.full((3, 2, 4), 0.5))


def test_weights_add_up_what_candidates_have_done():
    found = Architecture(space(), "codebook", seed=0)
    descent = WeightDescent(found.weights, lr=0.1)
    gradient = torch.zeros(3, 2, 4)
    gradient[0, 0, 2], gradient[1, 0, 2] = -4.0, -1.0
    for _ in range(5):
        found.weights.grad = gradient / found.weights.detach()
        descent.step()
    logs = found.weights.detach().log() - np.log(0.5)
    assert logs[0, 0, 2] > 0
    assert logs[0, 0, 2] / logs[1, 0, 2] == pytest.approx(4.0, rel=1e-4)
    assert not logs[2].abs().any()


def test_a_cold_mixture_predicts_as_the_stored_architecture(start):
    begun = start(10_000)
    latents = LatentStart(SCHEMA.split(CHECKPOINT.embeddings), SCHEMA.split(begun.counts), MovingOptions(candidates=64))
    codes = CandidateCodebooks(begun.models, begun.space.columns, latents)
    raw = [column for column in range(len(SCHEMA)) if column not in begun.space.columns]
    layers = [codes, *([RawRows(begun.models[0], raw, sparse=False)] if raw else [])]
    net = QuantizedModule(begun.models[0], sparse=False, layers=layers)
    selected = np.array([[3, 0], [1, 2], [3, 3]])
    codes.mixture = torch.nn.functional.one_hot(torch.from_numpy(selected), 4).float()
    ids = random_ids(SCHEMA, 300)
    logits = net(Inputs(torch.from_numpy(ids).long()))
    quantizers = begun.space.quantizers(selected)
    assert quantizers[2].raw  # 20 categories, 32 codewords
    fields = [replace(f, quantizer=q) for f, q in zip(begun.models[0].fields, quantizers, strict=True)]
    codes.selected = selected
    stored = net.store(replace(begun.models[0], fields=tuple(fields)))
    np.testing.assert_allclose(logits.detach(), plain_logits(stored, ids), rtol=1e-4, atol=1e-5)


def test_a_measurement_is_the_loss_with_one_size_changed(start, rows):
    """Held against models stored with each size in turn, whose rows are scored plainly."""
    begun = begin_search(start(10_000), rows[1], SearchOptions(), TUNING, steps=40)
    for batch, _ in zip(shuffled(rows[0], 128, seed=0), range(3), strict=False):
        begun.step(batch)
    path, batch = np.array([[3, 0], [1, 2], [0, 1]]), next(shuffled(rows[1], 200, seed=0))
    begun.prices = Prices(begun.prices.expected)
    begun._measure(path, batch)
    labels, losses = batch.labels.astype(np.float64), {}
    for field, group, number in np.ndindex(3, 2, 4):
        other = path.copy()
        other[field, group] = number
        logits = plain_logits(begun.supernet.stored(begun.like, begun.space, other), batch.ids)
        losses[field, group, number] = np.mean(np.logaddexp(0, logits) - labels * logits)
    for (field, group, number), loss in losses.items():
        if begun.space.distinct[field, 0, number]:
            assert begun.prices.losses[0, field, group, number] == pytest.approx(loss, abs=2e-6)


@RECIPES
@pytest.mark.parametrize("scope", ["codebook", "field"])
def test_it_ends_within_the_budget(start, rows, scope, recipe):
    options = SearchOptions(recipe, scope, steps=30)
    found = [search(start(1600), *rows, options, tuning=TUNING) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    assert start(1600).space.file_bytes(found[0]) <= 1600
    if scope == "field":
        np.testing.assert_array_equal(found[0][:, 0], found[0][:, 1])


def test_it_takes_its_steps_whatever_rows_the_last_batch_of_an_epoch_has(start, rows):
    """1,000 rows are two batches of 600 at most: nine steps are five epochs, not six."""
    found = search(start(1600), *rows, SearchOptions(steps=9), tuning=replace(TUNING, batch_size=600))
    assert start(1600).space.file_bytes(found) <= 1600


class Broken(Exception):
    pass


@RECIPES
def test_broken_off_and_resumed(start, rows, tmp_path, monkeypatch, recipe):
    monkeypatch.setattr(run_state_module, "_SAVE_EVERY_S", 0.0)
    options = SearchOptions(recipe, steps=30)
    run_class = {"sampled": SampledSearch, "darts": DartsSearch}[recipe]
    whole = RunFiles(tmp_path / "state", tmp_path / "whole.jsonl")
    expected = search(start(1600), *rows, options, tuning=TUNING, run_state=open_run_state(whole, {}))
    parts = RunFiles(tmp_path / "part", tmp_path / "part.jsonl")
    step = run_class.step
    for number, steps in enumerate((5, 13)):
        count = iter(range(steps))

        def counted(run, batch, count=count):
            if next(count, None) is None:
                raise Broken
            return step(run, batch)

        run_state = open_run_state(replace(parts, resume=number > 0), {})
        with monkeypatch.context() as patch:
            patch.setattr(run_class, "step", counted)
            with pytest.raises(Broken):
                search(start(1600), *rows, options, tuning=TUNING, run_state=run_state)
    run_state = open_run_state(replace(parts, resume=True), {})
    np.testing.assert_array_equal(search(start(1600), *rows, options, tuning=TUNING, run_state=run_state), expected)
    again = open_run_state(replace(parts, resume=True), {})
    with monkeypatch.context() as patch:
        patch.setattr(run_class, "step", None)  # a search that is done is not repeated
        np.testing.assert_array_equal(search(start(1600), *rows, options, tuning=TUNING, run_state=again), expected)
