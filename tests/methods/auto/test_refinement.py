"""Scales by frequency and axis, set on held-out rows: found where they are wrong, left where they are right."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.data.batch import Batch
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto import refinement
from fmcompress.methods.auto.refinement import refined
from tests import kinds
from tests.models import random_checkpoint, random_ids, sigmoid

SIZES, DIM, ROWS = (60, 300, 5), 6, 12_000


@pytest.fixture
def given(monkeypatch):
    """Return a function that lets rows be drawn as they are given."""
    return lambda batch: monkeypatch.setattr(refinement, "_drawn", lambda *_: batch)


def _truth(link="sigmoid"):
    found = random_checkpoint(SIZES, dim=DIM, seed=3)
    return replace(found, linear=2 * found.linear, embeddings=2 * found.embeddings, link=link)


def _rows(truth, *, seed):
    ids = random_ids(truth.schema, ROWS, seed=seed)
    labels = np.random.default_rng(seed).random(ROWS) < FMScorer(truth).predict(ids)
    return Batch(ids, labels.astype(np.float32))


def _losses(model, batch):
    logits = FMScorer(model).score(batch.ids, batch.values, batch.bags).logits
    return float(model.link_function.losses(logits.astype(np.float64), batch.labels.astype(np.float64)).mean())


def test_scales_that_depend_on_frequency_and_axis_are_found(given):
    truth = _truth()
    rare = truth.counts < np.median(truth.counts)
    axes = np.linspace(0.5, 1.6, DIM).astype(np.float32)
    wrong = truth.embeddings * axes * np.where(rare, 1.5, 0.7).astype(np.float32)[:, None]
    off = replace(truth, bias=truth.bias + 0.3, embeddings=wrong)
    given(_rows(truth, seed=1))
    found = refined(off, None, truth.counts, seed=0)
    fresh = _rows(truth, seed=2)
    best, before, after = (_losses(model, fresh) for model in (truth, off, found))
    assert after - best < 0.2 * (before - best)
    assert found.schema is off.schema
    assert found.embeddings.dtype == found.linear.dtype == np.float32


def test_a_model_that_is_right_stays_as_it_is(given):
    truth = _truth()
    given(_rows(truth, seed=1))
    assert refined(truth, None, truth.counts, seed=0) is truth


def test_noise_and_few_rows_change_nothing(given):
    truth, rng = _truth(), np.random.default_rng(0)
    ids = random_ids(truth.schema, 500)
    given(Batch(ids, (rng.random(500) < sigmoid(rng.normal(size=500))).astype(np.float32)))
    assert refined(truth, None, truth.counts, seed=0) is truth


@pytest.mark.parametrize("link", kinds.LINKS)
def test_fields_of_every_kind_and_link(link, given):
    truth = kinds.checkpoint(link)
    numeric = NumericWeights(truth.numeric.linear, 0.5 * truth.numeric.embeddings)
    off = replace(truth, embeddings=0.5 * truth.embeddings, numeric=numeric)
    given(kinds.batch(truth, 6_000))
    found = refined(off, None, truth.counts, seed=0)
    fresh = kinds.batch(truth, 6_000, seed=5)
    assert found is not off
    assert _losses(found, fresh) < _losses(off, fresh)
    for offset, field in zip(found.schema.offsets, found.schema.fields, strict=True):
        if field.pad is not None:
            assert found.linear[offset + field.pad] == 0
            assert not found.embeddings[offset + field.pad].any()


def test_its_derivatives_are_those_of_its_loss():
    truth = kinds.checkpoint()
    batch = kinds.batch(truth, 400)
    groups = refinement._groups_of(truth, truth.counts)
    model = refinement._Refinement(truth, truth.embeddings, batch, groups, refinement._means_of(truth, truth.counts))
    rng, rows = np.random.default_rng(0), np.arange(400)
    at = model.neutral + 0.1 * rng.normal(size=len(model.neutral))
    slopes, _ = model._derivatives(at, rows)
    way = rng.normal(size=len(at))
    ahead, behind = (model.losses(at + step * way, rows).sum() for step in (1e-4, -1e-4))
    assert slopes @ way == pytest.approx((ahead - behind) / 2e-4, rel=2e-3)
    expected = model.checkpoint.link_function.losses(
        kinds.logits(model.applied(at), batch.ids, batch.values), batch.labels.astype(np.float64)
    )
    np.testing.assert_allclose(model.losses(at, rows), expected, atol=1e-4)


def test_the_pipeline_asks_for_it_unless_it_is_not_to_calibrate(files):
    from fmcompress import TuneOptions, load_checkpoint
    from fmcompress.data.options import DataOptions
    from fmcompress.data.rows import open_tuning_data
    from fmcompress.pipeline import measure, open_job

    trained = load_checkpoint(files.fm)
    checkpoint = replace(trained, embeddings=3 * trained.embeddings, linear=-trained.linear)
    data = open_tuning_data(checkpoint, files.train, files.valid, DataOptions())

    def measured(calibrate):
        tuning = TuneOptions(calibrate=calibrate)
        return measure(open_job(checkpoint, "10KB", "auto", data, tuning=tuning, device="cpu")).checkpoint

    ids = random_ids(checkpoint.schema, 100)
    before, plain, found = (FMScorer(model).predict(ids) for model in (checkpoint, measured(False), measured(True)))
    np.testing.assert_allclose(plain, before, atol=1e-5)
    assert np.abs(found - before).max() > 1e-3
