"""Tuning on data: better on validation rows or not at all, and never larger."""

import json
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import pack_model, unpack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import count_categories, open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.tuner import begin_tuning
from fmcompress.fm.rescaling import rescaled_quantized
from fmcompress.fm.schema import Schema
from fmcompress.methods.auto.method import rotated
from fmcompress.methods.code_updates import code_update
from fmcompress.methods.lightfm.straight_through_codes import straight_through_layers
from fmcompress.training.run_state import RunFiles, open_run_state
from tests.conftest import SEED
from tests.finetuned import finetune

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 300), ("item", 200), ("city", 12), ("one", 1)])
CLICKS = random_click_model(SCHEMA, dim=6, seed=SEED)
TEACHER = rotated(FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings))
OPTIONS = TuneOptions(epochs=3, batch_size=256, lr=5e-3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        batch = draw_clicks(CLICKS, 4000, seed=seed)
        ids = batch.ids.copy()
        ids[np.random.default_rng(seed).random(ids.shape) < 0.05] = -1
        write_rows(Batch(ids, batch.labels), SCHEMA, folder / f"{name}.parquet")
    return open_rows(folder / "train.parquet", SCHEMA), open_rows(folder / "valid.parquet", SCHEMA)


@pytest.fixture(scope="module")
def untuned():
    return fc.quantize(TEACHER, 2600, layout="plain")


@pytest.fixture(scope="module")
def coarse():
    """Return a model with so few codewords that tuning has much to gain, on any rows."""
    return fc.quantize(TEACHER, None, method=fc.LightFM(subspaces=2, codewords=4))


def rescaled_model(model, scale, offset):
    """Return a packed model with other logits."""
    return pack_model(rescaled_quantized(unpack_model(model), scale, offset), model.header.origin)


def tuned(model, rows, **changes):
    train, valid = rows
    start = score_rows(model, valid)
    return start, finetune(model, train, valid, teacher=TEACHER, start=start, options=replace(OPTIONS, **changes))


@pytest.mark.parametrize("distillation", [0.0, 0.5, 1.0])
def test_tuning_makes_coarse_models_better(rows, coarse, distillation):
    start, found = tuned(coarse, rows, distillation=distillation)
    assert found.scores.logloss < start.logloss - 1e-3
    assert found.scores == score_rows(found.model, rows[1])


def test_states_are_calibrated(rows, untuned):
    model, valid = rescaled_model(untuned, 0.5, 0.7), rows[1]
    start, found = tuned(model, rows, lr=1e-9, epochs=1)
    by = found.scores.calibration_gained
    assert by.identity
    assert found.scores.logloss == pytest.approx(start.calibrated_logloss, abs=2e-4)
    assert found.scores.logloss < start.logloss - 0.01
    assert found.model.file_bytes == model.file_bytes
    assert found.scores == score_rows(found.model, valid)
    _, plain = tuned(model, rows, lr=1e-9, epochs=1, calibrate=False)
    assert plain.scores.logloss == pytest.approx(start.logloss, abs=1e-5)


@pytest.mark.parametrize("lr", [0.9, 1e-9])
def test_what_is_returned_is_never_worse(rows, untuned, lr):
    start, found = tuned(untuned, rows, lr=lr, epochs=2)
    assert found.scores.selection >= start.selection
    assert found.scores == score_rows(found.model, rows[1])


def test_codes_and_size_stay(rows, untuned):
    _, found = tuned(untuned, rows)
    assert found.model.file_bytes == untuned.file_bytes
    assert found.model.header.quantizers == untuned.header.quantizers
    before, after = unpack_model(untuned).fields, unpack_model(found.model).fields
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        np.testing.assert_array_equal(one.linear_codes, other.linear_codes)
    assert not np.array_equal(found.model.values, untuned.values)


def test_no_epochs_leave_the_model_as_it_is(rows, untuned):
    start, found = tuned(untuned, rows, epochs=0)
    assert found.model is untuned
    assert (found.scores, found.epochs) == (start, 0)


def test_the_same_seed_gives_the_same_model(rows, untuned):
    first, second = (tuned(untuned, rows, epochs=1)[1].model for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    assert first.bias == second.bias
    other = tuned(untuned, rows, epochs=1, seed=1)[1].model
    assert not np.array_equal(first.values, other.values)


def test_tuning_leaves_the_model_it_starts_from_as_it_was(rows, untuned):
    before = untuned.values.copy(), untuned.bias
    tuned(untuned, rows, epochs=1)
    np.testing.assert_array_equal(untuned.values, before[0])
    assert untuned.bias == before[1]


def moved(model, rows, **changes):
    settings = {"moving": MovingOptions(), **changes}
    counts = count_categories(rows[0])
    start = score_rows(model, rows[1])
    options = replace(OPTIONS, **settings)
    return start, finetune(model, *rows, teacher=TEACHER, start=start, options=options, counts=counts)


@pytest.mark.parametrize("distance", ["none", "mean", "popularity"])
def test_codes_that_move_make_coarse_models_better_at_the_same_size(rows, coarse, distance):
    start, found = moved(coarse, rows, moving=MovingOptions(distance=distance))
    assert found.scores.logloss < start.logloss - 1e-3
    assert found.scores == score_rows(found.model, rows[1])
    assert found.model.file_bytes == coarse.file_bytes
    assert found.model.header.quantizers == coarse.header.quantizers
    changed = []
    for field, before in zip(unpack_model(found.model).fields, unpack_model(coarse).fields, strict=True):
        assert field.codes.shape == before.codes.shape
        assert all((codes < size).all() for codes, size in zip(field.codes.T, field.quantizer.codewords, strict=True))
        np.testing.assert_array_equal(field.linear_codes, before.linear_codes)
        if field.quantizer.codewords:
            changed += (field.codes != before.codes).any(axis=1).tolist()
    assert 0.05 < np.mean(changed) < 0.9


def test_codes_that_move_do_so_alike_for_the_same_seed(rows, untuned):
    first, second, other = (moved(untuned, rows, seed=seed)[1].model for seed in (0, 0, 1))
    for name in ("values", "codes"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    assert first.bias == second.bias


def begun(model, options, *, steps):
    codes = code_update(options, TEACHER, model.tiers)
    return begin_tuning(model, TEACHER, options, codes, steps=steps)


def test_a_stronger_distance_loss_keeps_latents_nearer_to_their_codewords(rows, untuned):
    apart = []
    for weight in (0.0, 30.0):
        options = MovingOptions(distance="mean", distance_weight=weight, latent_lr=0.2)
        run = begun(untuned, replace(OPTIONS, moving=options), steps=1000)
        for batch in shuffled(rows[0], 256, seed=0):
            run.step(batch)
        (layer,) = straight_through_layers(run.module)
        apart.append(float(layer.latents.detach().norm(dim=1).mean()))
    assert apart[1] < 0.9 * apart[0]


@pytest.mark.parametrize("moving", [None, MovingOptions()], ids=["fixed", "moving"])
def test_learning_rates_fall_to_0_at_the_last_step(rows, untuned, moving):
    run = begun(untuned, replace(OPTIONS, moving=moving), steps=4)
    rates = []
    for batch in islice(shuffled(rows[0], 256, seed=0), 4):
        rates.append([optimizer.param_groups[0]["lr"] for optimizer in run.optimizers])
        run.step(batch)
    first = rates[0]
    assert first[0] == OPTIONS.lr
    assert len(first) == (1 if moving is None else 2)
    np.testing.assert_allclose(rates, np.outer([1, 0.75, 0.5, 0.25], first))
    assert all(optimizer.param_groups[0]["lr"] == 0 for optimizer in run.optimizers)


def test_the_history_ends_with_a_learning_rate_of_0(rows, untuned, tmp_path):
    start = score_rows(untuned, rows[1])
    run_state = open_run_state(RunFiles(history=tmp_path / "h.jsonl"), {})
    finetune(untuned, *rows, teacher=TEACHER, start=start, options=OPTIONS, run_state=run_state)
    lines = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    rates = [line["lr"] for line in lines if line["event"] == "epoch"]
    assert rates == pytest.approx([0.005, 0.01 / 3, 0.005 / 3, 0], abs=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": -1}, {"batch_size": 0}, {"distillation": -0.1}, {"distillation": 1.1}),
        {"select": "rmse"},
        *({"distillation": float("nan")}, {"lr": 0.0}, {"lr": 1.0}, {"lr": -1e-3}, {"lr": float("nan")}),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        TuneOptions(**wrong)
