"""Bounds hold as often as they say from the least number of rows on, and not below it."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from fmcompress.evaluation.deviations import change_error
from fmcompress.evaluation.placements import auc_with_error
from fmcompress.evaluation.scores import HeldRows, Scores
from fmcompress.gates.gate import parse_limits
from fmcompress.gates.uncertainty import LEAST_OF_A_LABEL, bounds, too_few

(LEAST,) = parse_limits({"min-auc": 0.5})
(DROP,) = parse_limits({"max-auc-drop": 0.5})
DRAWS = 1500


def share_held(positives, auc):
    """Return how often the lower and the upper bound of an AUC hold, each at 95 %."""
    rng = np.random.default_rng(positives)
    shift, held = 2**0.5 * normal_quantile(auc), np.zeros(2)
    for _ in range(DRAWS):
        clicked, others = rng.normal(shift, size=positives), rng.normal(size=500)
        found, error = auc_with_error(clicked, others)
        drawn = bounds(LEAST, found, error, 0.95)
        held += (drawn.lower <= auc, drawn.upper >= auc)
    return held / DRAWS


def normal_quantile(share):
    return NormalDist().inv_cdf(share)


@pytest.mark.parametrize("auc", [0.7, 0.8])
def test_bounds_of_an_auc_hold_as_often_as_they_say(auc):
    assert (share_held(LEAST_OF_A_LABEL, auc) >= 0.92).all()
    assert (share_held(LEAST_OF_A_LABEL, auc) <= 0.98).all()


def test_below_the_least_they_do_not():
    assert share_held(3, 0.8)[0] < 0.85


def test_the_upper_bound_of_a_drop_holds_and_the_test_is_of_its_size():
    """An AUC that falls by the limit exactly passes in 5 % of all draws, where the confidence is 95 %."""
    rng, fallen, passes = np.random.default_rng(0), [], 0
    shift, noise = 1.2, 0.5
    true_drop = normal_cdf(shift / 2**0.5) - normal_cdf(shift / (2 * (1 + noise**2)) ** 0.5)
    labels = np.repeat(np.float32([1, 0]), [100, 500])
    for _ in range(DRAWS):
        first = rng.normal(size=600) + shift * labels
        second = first + noise * rng.normal(size=600)
        rows = [HeldRows(each, labels) for each in (first, second)]
        aucs = [auc_with_error(each[labels == 1], each[labels == 0])[0] for each in (first, second)]
        drop = aucs[0] - aucs[1]
        error = paired_error(*rows)
        passes += bounds(DROP, drop, error, 0.95).upper <= true_drop
        fallen.append(drop)
    assert np.mean(fallen) == pytest.approx(true_drop, abs=0.001)
    assert 0.03 <= passes / DRAWS <= 0.08


def paired_error(first, second):
    return change_error("auc", first, second)


def normal_cdf(value):
    return NormalDist().cdf(value)


def test_bounds_keep_to_what_an_auc_can_be():
    near = bounds(LEAST, 0.999, 0.01, 0.99)
    assert 0 < near.lower < 0.999 < near.upper < 1
    for certain in (0.0, 1.0):
        found = bounds(LEAST, certain, 0.0, 0.95)
        assert (found.lower, found.upper) == (certain, certain)
    assert bounds(LEAST, 1e-9, 0.5, 0.95).upper == pytest.approx(1)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        (Scores(3000, 0.8, 0.5, 1.0, positives=3), "3 of 3,000 rows have label 1"),
        (Scores(3000, 0.8, 0.5, 1.0, positives=2999), "1 of 3,000 rows has label 0"),
        (Scores(3000, 0.8, 0.5, 1.0, positives=30), ""),
        (Scores(3000, 0.8, 0.5, 1.0, positives=2970), ""),
        (Scores(29, math.nan, math.nan, math.nan, 1.0), "29 rows are too few"),
        (Scores(30, math.nan, math.nan, math.nan, 1.0), ""),
        (Scores(3, 0.8, 0.5, 1.0), ""),
    ],
)
def test_how_few_are_too_few(scores, told):
    assert told in too_few(scores)
    assert bool(told) == bool(too_few(scores))
