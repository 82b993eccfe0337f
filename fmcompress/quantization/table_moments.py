"""Weighted means and covariances of tables, by blocks of rows."""

from __future__ import annotations

import numpy as np

from fmcompress.fm.disk_table import BLOCK_ROWS, Table, blocks
from fmcompress.types import Float64Array


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
    for start, block in blocks(table):
        own = weights[start : start + BLOCK_ROWS]
        if start == 0 and own.any():
            centre = own @ block / own.sum()
        centred = block - centre
        first += own @ centred
        second += (centred * own[:, None]).T @ centred
    return centre + first / total, second - np.outer(first, first) / total
