"""How far each row moves a score: what standard errors of scores, and of differences on the same rows, are made of.

Each row's deviation is its part of the error of the score, so scaled that

    SE = sqrt(Σ_i δ_i²)        SE of a difference = sqrt(Σ_i (δ_i − δ'_i)²)

with δ and δ' of two models on the same rows. Of the AUC these are the placements less their means, and the second
formula is DeLong's paired test; of the LogLoss they are the rows' losses less theirs; of the RMSE, by the delta method,
the squared errors less their mean, over twice the RMSE. All take rows as independent of each other.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from fmcompress.evaluation.scores import ScoredRows, row_losses
from fmcompress.types import BoolArray, Float64Array

Score = Literal["auc", "logloss", "rmse"]
"""Scores that have a standard error."""


def deviations(score: Score, rows: ScoredRows) -> Iterator[Float64Array]:
    """Yield what each row adds to the error of a score, float64 (n,), block by block.

    Args:
        score: of the model; one that it has, on two rows or more, for the AUC of each label.
        rows: its predictions, and the labels.
    """
    if score == "auc":
        yield from _centered(rows.placements, lambda: (labels > 0 for _, labels in rows.blocks()))
        return
    if score == "logloss":
        yield from _centered(lambda: (row_losses(*block) for block in rows.blocks()))
        return
    rmse = rows.scores.rmse
    for found in _centered(lambda: (np.square(each.astype(np.float64) - labels) for each, labels in rows.blocks())):
        yield found / (2 * rmse) if rmse else np.zeros(len(found))


def standard_error(score: Score, rows: ScoredRows) -> float:
    """Return the standard error of a score, see ``deviations``."""
    return math.sqrt(sum(float(each @ each) for each in deviations(score, rows)))


def change_error(
    score: Score, rows: ScoredRows, before: ScoredRows, *, scale: float = 1.0, scale_before: float = 1.0
) -> float:
    """Return the standard error of the difference of two models' scores on the same rows.

    Args:
        score: of both models, see ``deviations``.
        rows: predictions of one model.
        before: those of the other one.
        scale: what the score of the first is multiplied by.
        scale_before: the same for the other one.
    """
    total = 0.0
    for found, other in zip(deviations(score, rows), deviations(score, before), strict=True):
        change = found * scale - other * scale_before
        total += float(change @ change)
    return math.sqrt(total)


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
    if any(map(math.isnan, errors)) or not same_labels(rows, before):
        return math.nan
    return change_error("auc", rows, before)


def same_labels(rows: ScoredRows, before: ScoredRows) -> bool:
    """Return whether two models were scored on the same rows, as far as labels tell."""
    return len(rows) == len(before) and all(
        np.array_equal(own, other) for (_, own), (_, other) in zip(rows.blocks(), before.blocks(), strict=True)
    )


def _centered(
    values: Callable[[], Iterator[Float64Array]], groups: Callable[[], Iterator[BoolArray]] | None = None
) -> Iterator[Float64Array]:
    """Yield values less the mean of their group, over √(n(n − 1)) for n in it, block by block.

    Args:
        values: float64 (n,) each, in two passes.
        groups: in which of two groups each is, bool (n,) for each block; without it all are in one.
    """

    def grouped() -> Iterator[tuple[Float64Array, list[BoolArray]]]:
        if groups is None:
            yield from ((each, [np.ones(len(each), dtype=bool)]) for each in values())
        else:
            yield from ((each, [which, ~which]) for each, which in zip(values(), groups(), strict=True))

    counts, sums = [0, 0], [0.0, 0.0]
    for each, parts in grouped():
        for number, part in enumerate(parts):
            counts[number] += int(part.sum())
            sums[number] += float(each[part].sum())
    for each, parts in grouped():
        found = np.empty(len(each))
        for part, count, total in zip(parts, counts, sums, strict=False):
            found[part] = (each[part] - total / count) / math.sqrt(count * (count - 1))
        yield found
