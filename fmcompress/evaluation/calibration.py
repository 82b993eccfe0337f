"""How well probabilities are calibrated, and the two numbers that calibrate them best: logits z become a · z + b.

a and b are those of a logistic regression of labels on logits (Platt, 1999; with another link a regression by that
link). Rows are counted by label and by their logit, in 65,536 ranges of 2⁻¹⁰, each of which stands for the mean of its
rows. So rows are gone through once, whatever their number, and what is found is that of all rows to seven digits.

The expected calibration error (Guo et al., 2017) is over 15 ranges of predictions of one width

    ECE = Σ_m n_m / n · |mean label in range m − mean prediction in range m|
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fmcompress.fm.links import Link
from fmcompress.fm.rescaling import Calibration
from fmcompress.types import Float32Array, Float64Array, Int64Array

RANGES = 15
"""Of predictions, in the expected calibration error."""

_LARGEST_LOGIT = 32.0
_PER_LOGIT = 1024
_BINS = int(2 * _LARGEST_LOGIT) * _PER_LOGIT
_CERTAIN = 17.33
"""Logit of a prediction that float32 rounds to 1."""

_STEPS, _HALVINGS = 100, 30
_ENOUGH = 1e-9
"""Nats, of all rows together, that a further step would gain."""
_LEAST_SCALE, _LARGEST_SCALE = 1e-3, 1e3
_PARAMETERS = 2


@dataclass(frozen=True)
class CalibrationScores:
    """How predictions are calibrated, and how they would be.

    Attributes:
        best: what calibrates them best on these rows; the identity where nothing can.
        calibrated_logloss: after it, in nats; infinite where it is the identity.
        error: expected calibration error of the predictions.
        calibrated_error: after the best calibration.
    """

    best: Calibration
    calibrated_logloss: float
    error: float
    calibrated_error: float


def worthwhile(best: Calibration, nats: float) -> Calibration:
    """Return a calibration where it gains more than two numbers do by chance, by Akaike's criterion, else the identity.

    Args:
        best: what was fitted.
        nats: that it gains, over all rows together.
    """
    return best if nats > _PARAMETERS else Calibration()


class LogitCounts:
    """Rows counted by label and logit, and the sums of their logits.

    Attributes:
        link: from logits to predictions; one of probabilities.
        rows: how many there are by label and range of logits, int64 (2 · ranges,).
        sums: of their logits, float64 (2 · ranges,).
        errors: sum of labels less predictions by range of predictions, float64 (``RANGES``,).
    """

    def __init__(self, link: Link) -> None:
        """Begin with no rows."""
        self.link = link
        self.rows: Int64Array = np.zeros(2 * _BINS, np.int64)
        self.sums: Float64Array = np.zeros(2 * _BINS)
        self.errors: Float64Array = np.zeros(RANGES)

    def add(self, predictions: Float32Array, labels: Float32Array) -> None:
        """Count rows.

        Args:
            predictions: float32 (rows,), all finite.
            labels: 0 and 1, float32 (rows,).
        """
        self.add_logits(self.link.logits(predictions), labels)
        wide = predictions.astype(np.float64)
        self.errors += np.bincount(_ranges(wide), labels - wide, minlength=RANGES)

    def add_logits(self, logits: Float64Array, labels: Float32Array) -> None:
        """Count rows by their logits, float64 (rows,), and labels, float32 (rows,); not for the calibration error."""
        z = np.clip(logits, -_LARGEST_LOGIT, _LARGEST_LOGIT)
        z[logits == np.inf] = _CERTAIN
        places = np.minimum(((z + _LARGEST_LOGIT) * _PER_LOGIT).astype(np.int64), _BINS - 1)
        places += np.where(labels > 0, _BINS, 0)
        self.rows += np.bincount(places, minlength=2 * _BINS)
        self.sums += np.bincount(places, z, minlength=2 * _BINS)

    def scores(self) -> CalibrationScores:
        """Return how the rows are calibrated, and what calibrates them best."""
        points = self._points()
        rows = int(self.rows.sum())
        best = points.best()
        logloss = math.inf if best.identity else points.losses(best.scale, best.offset) / rows
        errors = self.errors if best.identity else points.errors(best)
        return CalibrationScores(best, logloss, _mean_size(self.errors, rows), _mean_size(errors, rows))

    def _points(self) -> _Points:
        seen = np.flatnonzero(self.rows)
        counts = self.rows[seen].astype(np.float64)
        return _Points(self.link, self.sums[seen] / counts, (seen >= _BINS).astype(np.float64), counts)


@dataclass(frozen=True)
class _Points:
    """Logits, float64 (n,), that so many rows have, with their label."""

    link: Link
    logits: Float64Array
    labels: Float64Array
    counts: Float64Array

    def losses(self, scale: float, offset: float) -> float:
        """Return the sum of the losses, in nats."""
        return float(self.counts @ self.link.losses(scale * self.logits + offset, self.labels))

    def errors(self, calibration: Calibration) -> Float64Array:
        """Return the sum of labels less calibrated predictions by their range, float64 (``RANGES``,)."""
        found = self.link.predict(calibration.scale * self.logits + calibration.offset).astype(np.float64)
        wrong = self.counts * (self.labels - found)
        return np.asarray(np.bincount(_ranges(found), wrong, minlength=RANGES), dtype=np.float64)

    def best(self) -> Calibration:
        """Return what minimises the losses, by Newton's method; the identity where there is no such thing."""
        if not self._mixed():
            return Calibration()
        at, loss = np.array([1.0, 0.0]), self.losses(1, 0)
        for _ in range(_STEPS):
            step, gain = self._newton(at)
            if gain < _ENOUGH:
                break
            for _ in range(_HALVINGS):
                there = self.losses(*(at + step))
                if there < loss:
                    break
                step = step / 2
            else:
                break
            at, loss = at + step, there
        scale, offset = map(float, at)
        if not (_LEAST_SCALE < scale < _LARGEST_SCALE and math.isfinite(offset)):
            return Calibration()  # logits that tell nothing, the reverse, or everything
        return Calibration(scale, offset)

    def _mixed(self) -> bool:
        """Whether neither label has all the larger logits, so that finite numbers are the best."""
        positive = self.labels > 0
        if positive.all() or not positive.any():
            return False
        ones, zeros = self.logits[positive], self.logits[~positive]
        return bool(ones.min() < zeros.max() and zeros.min() < ones.max())

    def _newton(self, at: Float64Array) -> tuple[Float64Array, float]:
        """Return the step of Newton's method, float64 (2,), and what it gains to second order, in nats."""
        scaled = at[0] * self.logits + at[1]
        slopes = self.counts * self.link.slopes(scaled, self.labels)
        curvatures = self.counts * self.link.curvatures(scaled)
        terms = np.stack([self.logits, np.ones_like(self.logits)])
        gradient, hessian = terms @ slopes, (terms * curvatures) @ terms.T
        step = np.asarray(-np.linalg.lstsq(hessian, gradient, rcond=None)[0], dtype=np.float64)
        return step, float(-0.5 * gradient @ step)


def _ranges(predictions: Float64Array) -> Int64Array:
    """Return the range of each prediction, int64 (rows,)."""
    return np.minimum((predictions * RANGES).astype(np.int64), RANGES - 1)


def _mean_size(errors: Float64Array, rows: int) -> float:
    return float(np.abs(errors).sum() / rows) if rows else math.nan


def fit_offset(logits: Float64Array, labels: Float64Array, link: Link) -> float:
    """Return what minimises the loss if it is added to logits, by Newton's method; 0 where there is no such number.

    Args:
        logits: float64 (rows,).
        labels: 0 and 1, float64 (rows,).
        link: from logits to predictions; of a regression the offset is 0.
    """
    if link.regression or labels.min(initial=1) == labels.max(initial=0):
        return 0.0
    offset = 0.0
    for _ in range(_STEPS):
        slope = float(link.slopes(logits + offset, labels).sum())
        step = -slope / max(float(link.curvatures(logits + offset).sum()), _ENOUGH)
        offset += min(max(step, -1.0), 1.0)
        if abs(slope * step) < _ENOUGH:
            break
    return offset if math.isfinite(offset) else 0.0


def calibration_scores(blocks: Iterable[tuple[Float32Array, Float32Array]], link: Link) -> CalibrationScores:
    """Return how predictions are calibrated, going through them once.

    Args:
        blocks: predictions and labels, float32 (n,) each.
        link: from logits to predictions; one of probabilities.
    """
    counts = LogitCounts(link)
    for predictions, labels in blocks:
        counts.add(predictions, labels)
    return counts.scores()


def fit_calibration(logits: Float64Array | Float32Array, labels: Float32Array, link: Link | None = None) -> Calibration:
    """Return the calibration that minimises the loss of a · z + b against labels.

    It is the identity where there is none: of a regression, with one label alone, with logits that are not finite,
    with logits that part the labels or tell nothing of them.

    Args:
        logits: z, (rows,).
        labels: 0 and 1, float32 (rows,).
        link: from logits to predictions; None is sigmoid.
    """
    link = link or Link("sigmoid")
    wide = np.asarray(logits, dtype=np.float64)
    if link.regression or not np.isfinite(wide).all():
        return Calibration()
    counts = LogitCounts(link)
    counts.add_logits(wide, labels)
    return counts.scores().best
