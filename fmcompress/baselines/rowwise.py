"""Row-wise 4-bit embeddings without tuning (Guan et al. 2019), as FBGEMM and PyTorch make and store them."""

from collections.abc import Iterator

import numpy as np

from fmcompress.baselines.stored import FloatRows, RowwiseRows, StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.fm.disk_table import whole
from fmcompress.types import Float32Array

_HIGHEST = 15
_BINS = 200
_STEPS = 32  # a range is narrowed by 16 % of these bins at most
_CHUNK_ROWS = 1 << 16


def rowwise_int4(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with 4-bit embeddings; its linear weights are float16."""
    source = task.source
    linear = FloatRows(source.linear[:, None].astype(np.float16))
    stored = StoredFM(source.schema, source.link, source.bias, linear, quantize_rows(whole(source.embeddings)))
    yield BaselinePoint(f"FM, dim {source.dim}, row-wise int4", key, stored.file_bytes, stored.decode())


def quantize_rows(values: Float32Array) -> RowwiseRows:
    """Return rows, float32 (rows, columns), in 4 bits, each with the range that the greedy search finds."""
    chunks = [values[start : start + _CHUNK_ROWS] for start in range(0, len(values), _CHUNK_ROWS)]
    found = [_in_ranges(chunk, *_best_ranges(chunk)) for chunk in chunks]
    arrays = zip(*((rows.codes, rows.scales, rows.minima) for rows in found), strict=True)
    return RowwiseRows(*map(np.concatenate, arrays))


def _best_ranges(values: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the range of each row with the least squared error, float32 (rows,) each, as the greedy search finds it.

    From the row's minimum and maximum on, the end goes in by a bin that hurts less, and the best range on the way
    is kept.
    """
    low, high = values.min(axis=1), values.max(axis=1)
    bins = (high - low) / np.float32(_BINS)
    best_low, best_high, least = low, high, _errors(values, low, high)
    for _ in range(_STEPS):
        raised, lowered = _errors(values, low + bins, high), _errors(values, low, high - bins)
        raise_low = raised < lowered
        low, high = np.where(raise_low, low + bins, low), np.where(raise_low, high, high - bins)
        errors = np.minimum(raised, lowered)
        better = errors < least
        best_low, best_high = np.where(better, low, best_low), np.where(better, high, best_high)
        least = np.minimum(errors, least)
    return best_low, best_high


def _errors(values: Float32Array, low: Float32Array, high: Float32Array) -> Float32Array:
    """Return the squared error of each row with a range, float32 (rows,)."""
    shift = values - _in_ranges(values, low, high).decode()
    errors: Float32Array = np.einsum("ij,ij->i", shift, shift)
    return errors


def _in_ranges(values: Float32Array, low: Float32Array, high: Float32Array) -> RowwiseRows:
    """Return rows in 4 bits between ``low`` and ``high``; a row of one value has scale 0 and codes 0."""
    scales, minima = ((high - low) / np.float32(_HIGHEST)).astype(np.float16), low.astype(np.float16)
    widths = np.where(scales > 0, scales.astype(np.float32), np.inf)
    codes = np.clip(np.rint((values - minima.astype(np.float32)[:, None]) / widths[:, None]), 0, _HIGHEST)
    return RowwiseRows(codes.astype(np.uint8), scales, minima)
