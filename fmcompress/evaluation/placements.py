"""The area under the ROC curve with DeLong's standard error, from one sort of each label's predictions.

A row's placement is the share of the rows of the other label that it is rightly above, or below; ties count half:

    V_i = mean over negatives j of [p_j < p_i] + ½ [p_j = p_i]        of a positive row i
    V_j = mean over positives i of [p_j < p_i] + ½ [p_j = p_i]        of a negative row j

The AUC is the mean of either, and of m positive and n negative rows its variance is Var(V_i)/m + Var(V_j)/n
(DeLong, DeLong and Clarke-Pearson, 1988, with the ranks of Sun and Xu, 2014).
"""

import math

import numpy as np

from fmcompress.types import Float32Array, Float64Array


def placements(positives: Float32Array, negatives: Float32Array) -> tuple[Float64Array, Float64Array]:
    """Return the placements of positive and of negative rows, float64 (positives,) and (negatives,).

    Args:
        positives: predictions of rows with label 1, float32 (positives,).
        negatives: predictions of rows with label 0, float32 (negatives,).
    """
    return _share_below(positives, np.sort(negatives)), 1 - _share_below(negatives, np.sort(positives))


def auc_with_error(positives: Float32Array, negatives: Float32Array) -> tuple[float, float]:
    """Return the AUC and its standard error; both are NaN where a label is missing, the latter where it occurs once.

    Args:
        positives: predictions of rows with label 1, float32 (positives,).
        negatives: predictions of rows with label 0, float32 (negatives,).
    """
    if not len(positives) or not len(negatives):
        return math.nan, math.nan
    both = placements(np.sort(positives), np.sort(negatives))  # in order they are looked up faster
    auc = float(both[0].mean())
    if min(map(len, both)) < 2:
        return auc, math.nan
    return auc, math.sqrt(sum(float(np.square(each - auc).sum()) / (len(each) * (len(each) - 1)) for each in both))


def _share_below(predictions: Float32Array, others: Float32Array) -> Float64Array:
    """Return which share of others, in order, is below each prediction; half of the share that is equal counts."""
    below = np.searchsorted(others, predictions, "left")
    below += np.searchsorted(others, predictions, "right")
    return np.asarray(below / (2 * len(others)))
