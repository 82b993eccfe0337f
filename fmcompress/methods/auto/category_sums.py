"""Sums over the rows of each category, of rows that are sorted by category."""

from __future__ import annotations

import itertools

import numpy as np

from fmcompress.types import Float32Array, Int64Array


def add_by_category(sums: Float32Array, own: Int64Array, values: Float32Array) -> None:
    """Add values to the sums of their categories.

    Args:
        sums: of each category, float32 (categories, size).
        own: category of each row, rising, int64 (rows,).
        values: float32 (rows, size).
    """
    if len(own):
        starts = _starts(own)
        sums[own[starts]] += np.add.reduceat(values, starts)


def add_outer_by_category(sums: Float32Array, own: Int64Array, factors: Float32Array) -> None:
    """Add r rᵀ of each row r to the sum of its category.

    The rows of a category are a matrix R, and their sum is Rᵀ R; matrices of as many rows are multiplied in one call.

    Args:
        sums: of each category, float32 (categories, size, size).
        own: category of each row, rising, int64 (rows,).
        factors: r, float32 (rows, size).
    """
    if not len(own):
        return
    starts = _starts(own)
    lengths = np.diff(starts, append=len(own))
    order = np.argsort(lengths, kind="stable")
    starts, lengths = starts[order], lengths[order]
    ends = np.cumsum(lengths)
    turned = factors[np.repeat(starts - (ends - lengths), lengths) + np.arange(len(own))]
    bounds = [*np.flatnonzero(np.append(True, lengths[1:] != lengths[:-1])).tolist(), len(lengths)]
    for first, last in itertools.pairwise(bounds):
        length, end = int(lengths[first]), int(ends[last - 1])
        rows = turned[end - (last - first) * length : end].reshape(last - first, length, -1)
        sums[own[starts[first:last]]] += rows.transpose(0, 2, 1) @ rows


def _starts(own: Int64Array) -> Int64Array:
    """Return the first row of each category, int64 (n,)."""
    return np.flatnonzero(np.append(True, own[1:] != own[:-1]))
