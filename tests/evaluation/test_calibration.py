"""Two numbers calibrate logits as a plain regression does, and models take them over exactly."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, ndtr
from sklearn.linear_model import LogisticRegression

from fmcompress.evaluation.calibration import RANGES, LogitCounts, fit_calibration, fit_offset
from fmcompress.evaluation.scores import HeldRows, StreamedRows, scores_of
from fmcompress.evaluation.spilled_rows import SpilledRows
from fmcompress.fm.links import Link
from fmcompress.fm.rescaling import Calibration

SIGMOID, PROBIT = Link("sigmoid"), Link("probit")


def drawn(rows=20_000, scale=1.0, offset=0.0, link=SIGMOID, seed=0, spread=1.5):
    """Return logits, and labels of probability link(scale · z + offset)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, spread, rows)
    return logits, (rng.random(rows) < link.predict(scale * logits + offset)).astype(np.float32)


def by_scipy(logits, labels, link):
    return minimize(
        lambda at: link.losses(at[0] * logits + at[1], labels.astype(float)).mean(), [1.0, 0.0], tol=1e-12
    ).x


@pytest.mark.parametrize(("scale", "offset"), [(1, 0), (0.3, 2), (4, -1), (1.45, 0.2)])
def test_logistic_regression(scale, offset):
    logits, labels = drawn(scale=scale, offset=offset)
    found = fit_calibration(logits, labels)
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits[:, None], labels)
    assert found.scale == pytest.approx(plain.coef_[0, 0], rel=1e-5)
    assert found.offset == pytest.approx(plain.intercept_[0], abs=1e-5)


@pytest.mark.parametrize("scale", [0.4, 2.5])
def test_probit(scale):
    logits, labels = drawn(scale=scale, link=PROBIT, spread=1.0)
    found = fit_calibration(logits, labels, PROBIT)
    assert (found.scale, found.offset) == pytest.approx(by_scipy(logits, labels, PROBIT), abs=1e-4)


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([0.1, -2, 3], [1, 1, 1]),
        ([0.1, -2, 3], [0, 0, 0]),
        ([1, 2, 3, 4], [0, 0, 1, 1]),  # parted: the best scale is infinite
        ([1, 2, 3, 4], [1, 1, 0, 0]),
        ([1, 2, 3, 4], [1, 0, 1, 0]),  # the larger the less likely
        ([2, 2, 2, 2], [1, 0, 1, 0]),
        ([1, np.nan, 3, 2], [1, 0, 1, 0]),
        ([1, np.inf, 3, 2], [1, 0, 1, 0]),
        ([], []),
    ],
)
def test_nothing_to_fit(logits, labels):
    assert fit_calibration(np.array(logits, float), np.array(labels, np.float32)).identity


def test_regression_stays():
    logits, labels = drawn(100)
    assert fit_calibration(logits, labels, Link("identity")).identity
    assert math.isnan(scores_of(labels, labels, regression=True).calibrated_logloss)


def test_extremes_end():
    logits, labels = drawn()
    logits *= 40  # most predictions are 0 or 1 in float32
    found = scores_of(SIGMOID.predict(logits), labels)
    assert 0 < found.scale < 0.2
    assert 0 < found.calibrated_logloss < 0.7 < found.logloss
    assert found.calibrated_error < found.calibration_error


@pytest.mark.parametrize(("link", "probability"), [(SIGMOID, expit), (PROBIT, ndtr)])
def test_scores_before_and_after(link, probability):
    logits, labels = drawn(scale=1.5, offset=-0.3, link=link)
    predictions = link.predict(logits)
    found = scores_of(predictions, labels, link=link)
    after = probability(found.scale * logits + found.offset)
    again = scores_of(after.astype(np.float32), labels, link=link)
    assert found.calibrated_logloss == pytest.approx(again.logloss, abs=1e-7)
    assert again.calibrated_logloss == pytest.approx(again.logloss, abs=1e-7)
    assert found.calibrated_error == pytest.approx(again.calibration_error, abs=1e-3)
    assert found.calibration_gained == Calibration(found.scale, found.offset)
    assert again.calibration_gained.identity


@pytest.mark.parametrize("link", [SIGMOID, PROBIT])
def test_offset_alone(link):
    logits, labels = drawn(offset=1.3, link=link)
    found = fit_offset(logits, labels.astype(float), link)
    best = minimize(lambda at: link.losses(logits + at[0], labels.astype(float)).mean(), [0.0], tol=1e-12).x[0]
    assert found == pytest.approx(best, abs=1e-4)
    assert fit_offset(logits, np.ones(len(logits)), link) == 0
    assert fit_offset(logits, labels.astype(float), Link("identity")) == 0


def test_expected_calibration_error():
    logits, labels = drawn(3000, scale=2)
    p = SIGMOID.predict(logits)
    of = np.minimum((p * RANGES).astype(int), RANGES - 1)
    plain = sum(
        (of == m).mean() * abs(labels[of == m].mean() - p[of == m].mean()) for m in range(RANGES) if (of == m).any()
    )
    assert scores_of(p, labels).calibration_error == pytest.approx(plain, abs=1e-6)


def test_spilled_rows_are_the_same():
    logits, labels = drawn(5000, scale=0.7, link=PROBIT, spread=1)
    p = PROBIT.predict(logits)
    rows = SpilledRows()
    for part in np.array_split(np.arange(5000), 3):
        rows.add(p[part], labels[part])
    held, spilled = HeldRows(p, labels, link=PROBIT).scores, StreamedRows(rows, link=PROBIT).scores
    names = ("calibrated_logloss", "calibration_error", "calibrated_error", "scale", "offset")
    for name in names:
        assert getattr(held, name) == pytest.approx(getattr(spilled, name), rel=1e-6)


def test_gains_by_chance_are_none():
    scores = [scores_of(SIGMOID.predict(z), labels) for z, labels in (drawn(500, seed=seed) for seed in range(40))]
    assert sum(found.calibration_gained.identity for found in scores) > 28  # of 40; 5 would be expected not to


def test_counts_hold_a_fixed_number_of_bytes():
    counts = LogitCounts(SIGMOID)
    before = counts.rows.nbytes + counts.sums.nbytes
    counts.add(*(a.astype(np.float32) for a in (np.full(10, 0.5), np.ones(10))))
    assert counts.rows.nbytes + counts.sums.nbytes == before
    assert counts.scores().best.identity
