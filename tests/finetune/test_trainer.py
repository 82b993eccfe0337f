"""Tuning on data: better on validation rows or not at all, and never larger."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data import ParquetRows
from fmcompress.data.batch import Batch
from fmcompress.data.generate import draw_clicks, random_click_model, write_rows
from fmcompress.errors import UsageError
from fmcompress.evaluation import score_rows
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.trainer import tune
from fmcompress.pipeline import Quantization
from fmcompress.schema import Schema

SCHEMA = Schema.of([("user", 300), ("item", 200), ("city", 12), ("one", 1)])
CLICKS = random_click_model(SCHEMA, dim=6, seed=0)
TEACHER = FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
OPTIONS = TuneOptions(epochs=3, batch_size=256, lr=5e-3)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        batch = draw_clicks(CLICKS, 4000, seed=seed)
        ids = batch.ids.copy()
        ids[np.random.default_rng(seed).random(ids.shape) < 0.05] = -1
        write_rows(Batch(ids, batch.labels), SCHEMA, folder / f"{name}.parquet")
    return ParquetRows(folder / "train.parquet", SCHEMA), ParquetRows(folder / "valid.parquet", SCHEMA)


@pytest.fixture(scope="module")
def untuned():
    return Quantization(TEACHER, 2600).run()


def tuned(model, rows, **changes):
    train, valid = rows
    start = score_rows(model, valid)
    return start, tune(model, train, valid, teacher=TEACHER, start=start, options=replace(OPTIONS, **changes))


@pytest.mark.parametrize("distillation", [0.0, 0.5, 1.0])
def test_tuning_makes_coarse_models_better(rows, untuned, distillation):
    start, found = tuned(untuned, rows, distillation=distillation)
    assert found.scores.logloss < start.logloss - 1e-3
    assert found.scores == score_rows(found.state, rows[1])


@pytest.mark.parametrize("lr", [0.9, 1e-9])
def test_what_is_returned_is_never_worse(rows, untuned, lr):
    start, found = tuned(untuned, rows, lr=lr, epochs=2)
    assert found.scores.selection >= start.selection
    assert found.scores == score_rows(found.state, rows[1])


def test_codes_and_size_stay(rows, untuned):
    _, found = tuned(untuned, rows)
    assert found.state.file_bytes == untuned.file_bytes
    assert found.state.header.quantizers == untuned.header.quantizers
    np.testing.assert_array_equal(found.state.codes, untuned.codes)
    assert not np.array_equal(found.state.values, untuned.values)


def test_no_epochs_leave_the_model_as_it_is(rows, untuned):
    start, found = tuned(untuned, rows, epochs=0)
    assert found.state is untuned
    assert (found.scores, found.epochs) == (start, 0)


def test_the_same_seed_gives_the_same_model(rows, untuned):
    first, second = (tuned(untuned, rows, epochs=1)[1].state for _ in range(2))
    np.testing.assert_array_equal(first.values, second.values)
    assert first.bias == second.bias
    other = tuned(untuned, rows, epochs=1, seed=1)[1].state
    assert not np.array_equal(first.values, other.values)


def test_tuning_leaves_the_model_it_starts_from_as_it_was(rows, untuned):
    before = untuned.values.copy(), untuned.bias
    tuned(untuned, rows, epochs=1)
    np.testing.assert_array_equal(untuned.values, before[0])
    assert untuned.bias == before[1]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": -1}, {"batch_size": 0}, {"distillation": -0.1}, {"distillation": 1.1}),
        *({"distillation": float("nan")}, {"lr": 0.0}, {"lr": 1.0}, {"lr": -1e-3}, {"lr": float("nan")}),
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=name):
        TuneOptions(**wrong)
