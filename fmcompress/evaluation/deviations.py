"""How far each row moves a score: what standard errors of scores, and of differences on the same rows, are made of.

Each row's deviation is its part of the error of the score, so scaled that

    SE = sqrt(Σ_i δ_i²)        SE of a difference = sqrt(Σ_i (δ_i − δ'_i)²)

with δ and δ' of two models on the same rows. Of the AUC these are the placements less their means, and the second
formula is DeLong's paired test; of the LogLoss they are the rows' losses less theirs; of the RMSE, by the delta method,
the squared errors less their mean, over twice the RMSE. All take rows as independent of each other.
"""

import math
from typing import Literal

import numpy as np

from fmcompress.evaluation.placements import placements
from fmcompress.evaluation.scores import ScoredRows
from fmcompress.types import Float64Array

Score = Literal["auc", "logloss", "rmse"]
"""Scores that have a standard error."""

_LEAST_PROBABILITY = np.finfo(np.float64).eps


def deviations(score: Score, rows: ScoredRows) -> Float64Array:
    """Return what each row adds to the error of a score, float64 (rows,).

    Args:
        score: of the model; one that it has, on two rows or more, for the AUC of each label.
        rows: its predictions, and the labels.
    """
    if score == "auc":
        return _of_auc(rows)
    if score == "logloss":
        return _of_mean(_row_losses(rows))
    rmse = rows.scores.rmse
    squares = np.square(rows.predictions.astype(np.float64) - rows.labels)
    return _of_mean(squares) / (2 * rmse) if rmse else np.zeros(len(squares))


def standard_error(found: Float64Array) -> float:
    """Return the standard error that deviations, or differences of two models', float64 (rows,), come to."""
    return math.sqrt(float(found @ found))


def auc_change_error(rows: ScoredRows, before: ScoredRows) -> float:
    """Return the standard error of the difference of two models' AUCs on the same rows, by DeLong's paired test.

    Args:
        rows: predictions of one model.
        before: those of the other one.

    Returns:
        NaN where either has no AUC with a standard error, the rows are not the same, or both are one.
    """
    if rows is before:
        return math.nan
    errors = [each.scores.auc_standard_error for each in (rows, before)]
    if any(map(math.isnan, errors)) or not np.array_equal(rows.labels, before.labels):
        return math.nan
    return standard_error(deviations("auc", rows) - deviations("auc", before))


def _of_auc(rows: ScoredRows) -> Float64Array:
    positive = rows.labels > 0
    found = np.empty(len(positive))
    each = placements(rows.predictions[positive], rows.predictions[~positive])
    found[positive], found[~positive] = (_of_mean(placed) for placed in each)
    return found


def _row_losses(rows: ScoredRows) -> Float64Array:
    """Return the binary cross entropy of each row, in nats; predictions of 0 and 1 stand off as in the LogLoss."""
    predictions = rows.predictions.astype(np.float64)
    likely = np.where(rows.labels > 0, predictions, 1 - predictions)
    return np.asarray(-np.log(np.maximum(likely, _LEAST_PROBABILITY)))


def _of_mean(values: Float64Array) -> Float64Array:
    count = len(values)
    return np.asarray((values - values.mean()) / math.sqrt(count * (count - 1)))
