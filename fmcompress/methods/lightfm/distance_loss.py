"""The distance loss that keeps latent embeddings near their codewords (Eq. 5): Σ_i w_i ‖v_i − q_i‖.

A step sums over the distinct categories of its batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import Tensor, from_numpy, where

from fmcompress.finetune.options import Distance


def distance_weights(counts: npt.NDArray[np.int64], distance: Distance) -> npt.NDArray[np.float32]:
    """Return w_i of each category, float32 (categories,); their sum is 1, or 0 where there is no distance loss.

    ``popularity`` is log(1 + f_i) / Σ_k log(1 + f_k): with the paper's log f_i, a category that is seen once would
    count nothing, and one that is never seen would have no weight at all. ``mean`` is the same for all.

    Args:
        counts: f_i of the categories of all coded fields, int64 (categories,).
        distance: kind of weights.
    """
    if distance == "none":
        return np.zeros(len(counts), dtype=np.float32)
    weights = np.log1p(counts.astype(np.float64)) if distance == "popularity" else np.ones(len(counts))
    shares: npt.NDArray[np.float64] = weights / max(float(weights.sum()), float(np.finfo(np.float64).tiny))
    return shares.astype(np.float32)


def weights_of(counts: Sequence[npt.NDArray[np.int64]], columns: Sequence[int], distance: Distance) -> Tensor:
    """Return w_i of the categories of some fields, one field after the other, then 0 for missing values.

    Args:
        counts: f_i of all fields, int64 (cardinality,) each.
        columns: the coded fields.
        distance: kind of weights.
    """
    weights = distance_weights(np.concatenate([counts[column] for column in columns]), distance)
    return from_numpy(np.append(weights, np.float32(0)))


def weighted_distance(shift: Tensor, weights: Tensor) -> Tensor:
    """Return Σ_i w_i ‖v_i − q_i‖, a scalar.

    Args:
        shift: v_i − q_i, float32 (n, subspaces, width).
        weights: w_i, float32 (n,).
    """
    squares = (shift * shift).sum(dim=(1, 2))
    apart = squares > 0
    # The root has no derivative at 0, where a latent lies on its codeword.
    return (weights * apart * where(apart, squares, 1).sqrt()).sum()
