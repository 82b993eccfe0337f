"""Weighted means and covariances of tables, by blocks of rows."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from fmcompress.fm.disk_table import BLOCK_ROWS, PASS_ROWS, Table, map_blocks
from fmcompress.types import Float32Array, Float64Array


def weighted_moments(
    table: Table, weights: Float64Array, *, total: float | None = None
) -> tuple[Float64Array, Float64Array]:
    """Return Σ_i p_i v_i / Σ_i p_i, float64 (dim,), and Σ_i p_i (v_i − mean)(v_i − mean)ᵀ, float64 (dim, dim).

    The table is read once: blocks are centred by the mean of the first one, which is corrected for at the end.

    Args:
        table: float32 (n, dim).
        weights: p_i, float64 (n,).
        total: Σ_i p_i, where it is known.
    """
    dim, total = table.shape[1], float(weights.sum()) if total is None else total
    if len(table) <= BLOCK_ROWS:
        vectors = table[:]
        mean = weights @ vectors / total
        centred = vectors - mean
        return mean, (centred * weights[:, None]).T @ centred
    centre, first, second = np.zeros(dim), np.zeros(dim), np.zeros((dim, dim))
    own = weights[:PASS_ROWS]
    if own.any():
        centre = own @ table[:PASS_ROWS] / own.sum()

    def sums(start: int, block: Float32Array) -> tuple[Float64Array, Float64Array]:
        own, centred = weights[start : start + len(block)], block - centre
        return own @ centred, (centred * own[:, None]).T @ centred

    with threadpool_limits(1):  # blocks are worked on side by side
        for of_first, of_second in map_blocks(table, sums):
            first += of_first
            second += of_second
    return centre + first / total, second - np.outer(first, first) / total
