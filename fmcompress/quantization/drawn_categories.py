"""Samples of the categories of a field."""

import numpy as np

from fmcompress.types import Int64Array

_MOST_PERMUTED = 2**21
"""A list of more categories than this would take more memory than what is drawn of it."""


def drawn_categories(cardinality: int, count: int, *, seed: int) -> Int64Array:
    """Return ``count`` of the categories of a field, in random order, int64 (count,).

    Args:
        cardinality: number of categories.
        count: how many are drawn; of many categories at most a quarter.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    if cardinality <= _MOST_PERMUTED:
        return rng.permutation(cardinality)[:count]
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        found = np.unique(np.concatenate([found, rng.integers(0, cardinality, 2 * count)]))
    return rng.permutation(found)[:count]
