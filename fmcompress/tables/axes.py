"""Principal axes of a table: vectors are stored by their coordinates along these where that pays.

Along them coordinates are uncorrelated and differ in size: the first subspaces get many codewords, the last few or one.
A factorization machine can be turned for nothing; of any other table the axes must be stored, l · l numbers in fp16.
"""

from __future__ import annotations

import numpy as np

from fmcompress.quantization.outliers import standing_apart
from fmcompress.types import Float16Array, Float32Array, Float64Array

_NUMBER_BYTES = 2
_LARGEST_SHARE = 1 / 16
"""Of the bytes that a table may expect, at most this may go to its axes."""

_LEAST_GAIN = 1.2
"""So much smaller must coordinates be along the axes, in the geometric mean of their variances."""

_SMALLEST = 1e-6


def affordable(vectors: Float32Array, expected_bytes: float) -> bool:
    """Return whether a table can have axes: they are a small part of its bytes, and it is not stored nearly as it is.

    Args:
        vectors: float32 (n, l).
        expected_bytes: what it may take.
    """
    dim = vectors.shape[1]
    fits = _NUMBER_BYTES * dim * dim <= _LARGEST_SHARE * expected_bytes
    return dim > 1 and fits and expected_bytes < vectors.size


def principal_axes(vectors: Float32Array, frequencies: Float64Array) -> Float16Array | None:
    """Return the axes of a table, float16 (l, l), row by row and the longest first; None where they gain little.

    Args:
        vectors: float32 (n, l).
        frequencies: how often each vector is looked up, float64 (n,).
    """
    ordinary = ~standing_apart(vectors, np.zeros(len(vectors), dtype=np.float32))
    share = frequencies * ordinary
    share = share / share.sum()
    centred = vectors - (share @ vectors).astype(np.float32)
    covariance = ((centred * share[:, None].astype(np.float32)).T @ centred).astype(np.float64)
    lengths, columns = np.linalg.eigh(covariance)
    if not lengths[-1] > 0:
        return None
    least = _SMALLEST * lengths[-1]
    before, after = np.log(np.maximum(np.diag(covariance), least)), np.log(np.maximum(lengths, least))
    if before.mean() - after.mean() < np.log(_LEAST_GAIN):
        return None
    rows = columns[:, ::-1].T
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    return np.asarray(rows * np.where(largest < 0, -1, 1)[:, None], dtype=np.float16)


def coordinates(vectors: Float32Array, axes: Float16Array) -> Float32Array:
    """Return the coordinates of vectors, float32 (n, l), along axes, float16 (l, l): their products are the vectors."""
    inverse = np.linalg.inv(axes.astype(np.float64)).astype(np.float32)
    return np.ascontiguousarray(vectors @ inverse)
