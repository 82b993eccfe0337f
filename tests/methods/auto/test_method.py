"""``auto`` works along principal axes: the rotation is free, and gathers what matters in the first coordinates."""

import numpy as np
import pytest

from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto.method import rotated
from tests import kinds
from tests.models import random_checkpoint, random_ids


def test_a_rotation_leaves_predictions_and_all_else_as_they_are():
    checkpoint = random_checkpoint((40, 300, 5), dim=8)
    found = rotated(checkpoint)
    ids = random_ids(checkpoint.schema, 200)
    np.testing.assert_allclose(FMScorer(found).predict(ids), FMScorer(checkpoint).predict(ids), atol=1e-5)
    np.testing.assert_array_equal(found.linear, checkpoint.linear)
    assert found.counts is checkpoint.counts
    assert found.source == checkpoint.source


def test_the_first_coordinates_vary_most():
    checkpoint = random_checkpoint((400,), dim=6)
    mixing = np.diag([5, 4, 3, 2, 1, 0.1]) @ np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    mixed = (checkpoint.embeddings @ mixing).astype(np.float32)
    found = rotated(type(checkpoint)(checkpoint.schema, 0.0, checkpoint.linear, mixed))
    spread = found.embeddings.std(axis=0)
    assert (np.diff(spread) < 0).all()
    covariance = np.cov(found.embeddings.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-3 * covariance.max())


@pytest.mark.parametrize("link", kinds.LINKS)
def test_a_rotation_leaves_predictions_as_they_are(link):
    ckpt = kinds.checkpoint(link)
    batch = kinds.batch(ckpt, 200)
    found = FMScorer(rotated(ckpt)).predict(batch.ids, batch.values)
    np.testing.assert_allclose(found, kinds.formula(ckpt, batch.ids, batch.values), atol=1e-5)
