"""The AUC with DeLong's standard error is that of the plain formulas over all pairs, ties and all."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fmcompress.evaluation.deviations import auc_change_error, change_error, standard_error
from fmcompress.evaluation.placements import auc_with_error, placements
from fmcompress.evaluation.scores import HeldRows


def kernel(positives, negatives):
    """Return ψ of DeLong for every pair, (positives, negatives)."""
    above = positives[:, None] - negatives[None, :]
    return (above > 0) + 0.5 * (above == 0)


def covariance(first, second, labels):
    """Return the AUCs of two models and their covariance, as DeLong et al. (1988) write them, in O(m n)."""
    kernels = [kernel(each[labels == 1].astype(float), each[labels == 0].astype(float)) for each in (first, second)]
    m, n = kernels[0].shape
    by_positive, by_negative = (np.cov([k.mean(axis=axis) for k in kernels]) for axis in (1, 0))
    return [k.mean() for k in kernels], by_positive / m + by_negative / n


def drawn(rows, digits, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.3).astype(np.float32)
    scores = rng.normal(size=rows) + labels
    two = [1 / (1 + np.exp(-(scores + rng.normal(size=rows) * noise))) for noise in (0.1, 0.5)]
    return labels, *(each.round(digits).astype(np.float32) for each in two)


@pytest.mark.parametrize("digits", [0, 1, 2, 7])
@pytest.mark.parametrize("rows", [12, 300])
def test_plain_formulas(rows, digits):
    labels, first, second = drawn(rows, digits)
    aucs, plain = covariance(first, second, labels)
    for predictions, auc, variance in zip((first, second), aucs, np.diag(plain), strict=True):
        found = auc_with_error(predictions[labels == 1], predictions[labels == 0])
        assert found == pytest.approx((auc, variance**0.5), abs=1e-12)
    both = [HeldRows(predictions, labels) for predictions in (first, second)]
    paired = (plain[0, 0] + plain[1, 1] - 2 * plain[0, 1]) ** 0.5
    assert auc_change_error(*both) == pytest.approx(paired, abs=1e-12)
    assert auc_change_error(both[0], replace(both[0])) == 0
    assert math.isnan(auc_change_error(both[0], both[0]))


def test_placements_stand_in_the_order_of_the_rows():
    positive, negative = placements(np.float32([0.9, 0.2, 0.5]), np.float32([0.5, 0.1]))
    assert positive.tolist() == [1, 0.5, 0.75]
    np.testing.assert_allclose(negative, [0.5, 1])


def test_extremes():
    assert auc_with_error(np.float32([0.5] * 9), np.float32([0.5] * 5)) == (0.5, 0)
    assert auc_with_error(np.float32([0.7] * 9), np.float32([0.5] * 5)) == (1, 0)
    auc, error = auc_with_error(np.float32([0.7]), np.float32([0.5, 0.8]))
    assert (auc, math.isnan(error)) == (0.5, True)
    assert np.isnan(auc_with_error(np.float32([]), np.float32([0.5]))).all()


def test_other_rows_have_no_paired_error():
    labels, first, second = drawn(50, 3)
    rows = HeldRows(first, labels)
    assert math.isnan(auc_change_error(rows, HeldRows(second, 1 - labels)))
    assert math.isnan(auc_change_error(rows, HeldRows(second, labels, regression=True)))


@pytest.mark.parametrize("score", ["auc", "logloss", "rmse"])
def test_standard_errors_are_the_spread_over_draws(score):
    found, errors, changes, paired = [], [], [], []
    for seed in range(200):
        labels, first, second = drawn(300, 7, seed)
        both = [HeldRows(predictions, labels, score == "rmse") for predictions in (first, second)]
        scores = [getattr(each.scores, score) for each in both]
        found.append(scores[0])
        changes.append(scores[1] - scores[0])
        errors.append(standard_error(score, both[0]))
        paired.append(change_error(score, both[1], both[0]))
    assert np.mean(errors) == pytest.approx(np.std(found), rel=0.1)
    assert np.mean(paired) == pytest.approx(np.std(changes), rel=0.1)
    assert np.mean(paired) < 0.8 * np.mean(errors)


def test_the_losses_of_rows_add_up_to_the_logloss():
    labels, first, _ = drawn(200, 0)  # some are certain, and wrong
    rows = HeldRows(first, labels)
    likely = np.clip(np.where(labels == 1, first, 1 - first.astype(float)), np.finfo(float).eps, 1)
    losses = -np.log(likely)
    assert rows.scores.logloss == pytest.approx(losses.mean())
    assert standard_error("logloss", rows) == pytest.approx(losses.std(ddof=1) / 200**0.5)
