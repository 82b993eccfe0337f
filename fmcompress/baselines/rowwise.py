"""Row-wise 4-bit embeddings without tuning (Guan et al. 2019), as FBGEMM and PyTorch make and store them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.stored import FloatRows, RowwiseRows, StoredFM
from fmcompress.baselines.task import Task

Floats = npt.NDArray[np.float32]

_HIGHEST = 15
_BINS = 200
_STEPS = 32  # a range is narrowed by 16 % of these bins at most
_CHUNK_ROWS = 1 << 16


def rowwise_int4(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with 4-bit embeddings; its linear weights are float16."""
    source = task.source
    linear = FloatRows(source.linear[:, None].astype(np.float16))
    stored = StoredFM(source.schema, source.link, source.bias, linear, quantize_rows(source.embeddings))
    yield BaselinePoint(f"FM, dim {source.dim}, row-wise int4", key, stored.file_bytes, stored.decode())


def quantize_rows(values: Floats) -> RowwiseRows:
    """Return rows in 4 bits, each with the range that the greedy search finds; float32 (rows, columns)."""
    parts = [_quantize_chunk(values[start : start + _CHUNK_ROWS]) for start in range(0, len(values), _CHUNK_ROWS)]
    return RowwiseRows(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _quantize_chunk(
    values: Floats,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return codes, scales and minima of rows."""
    low, high = _best_ranges(values)
    minima, scales = low.astype(np.float16), _scales(low, high)
    return _codes(values, scales, minima).astype(np.uint8), scales, minima


def _best_ranges(values: Floats) -> tuple[Floats, Floats]:
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


def _errors(values: Floats, low: Floats, high: Floats) -> Floats:
    """Return the squared error of each row with a range, float32 (rows,)."""
    scales, minima = _scales(low, high), low.astype(np.float16)
    decoded = _codes(values, scales, minima) * scales.astype(np.float32)[:, None] + minima.astype(np.float32)[:, None]
    shift = values - decoded
    errors: Floats = np.einsum("ij,ij->i", shift, shift)
    return errors


def _scales(low: Floats, high: Floats) -> npt.NDArray[np.float16]:
    return ((high - low) / np.float32(_HIGHEST)).astype(np.float16)


def _codes(values: Floats, scales: npt.NDArray[np.float16], minima: npt.NDArray[np.float16]) -> Floats:
    """Return codes, whole numbers as float32; a row of one value has scale 0 and codes 0."""
    widths = np.where(scales > 0, scales.astype(np.float32), np.inf)
    return np.clip(np.rint((values - minima.astype(np.float32)[:, None]) / widths[:, None]), 0, _HIGHEST)
