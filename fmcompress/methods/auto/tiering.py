"""Where a field is cut into tiers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_LEAST_CATEGORIES = 128
_TIERS = 2
_ROUNDS = 32


def tier_splits(counts: npt.NDArray[np.int64] | None, cardinality: int) -> list[npt.NDArray[np.uint8]]:
    """Return the ways to cut a field into tiers that are worth a look, the whole field first.

    Tiers gather categories of similar log(1 + count): what bits are worth falls with the count, and how many bits an
    error deserves goes with its logarithm.

    Args:
        counts: rows in which each category is active, int64 (cardinality,); None where that is not known.
        cardinality: number of categories.

    Returns:
        tier of each category, uint8 (cardinality,), from the most frequent one on.
    """
    whole = np.zeros(cardinality, dtype=np.uint8)
    if counts is None or cardinality < _LEAST_CATEGORIES or counts.min() == counts.max():
        return [whole]
    return [whole, _tiers(np.log1p(counts.astype(np.float64)))]


def _tiers(popularity: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Return k-means clusters of numbers, the largest first; none is empty where the numbers differ."""
    centres = np.linspace(popularity.max(), popularity.min(), _TIERS)
    for _ in range(_ROUNDS):
        tier = np.abs(popularity[:, None] - centres).argmin(axis=1)
        centres = np.array([popularity[tier == number].mean() for number in range(_TIERS)])
    nearest: npt.NDArray[np.int64] = np.abs(popularity[:, None] - centres).argmin(axis=1)
    return nearest.astype(np.uint8)
