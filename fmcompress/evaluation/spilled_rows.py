"""Predictions and labels of rows without end, in a temporary file, and their AUC, exactly, in memory that is bounded.

Predictions are float32: as integers in their order they are parted by their upper 14 bits into windows, one after the
other in a second file. In a window each of its 2¹⁸ values has a counter for either label, and the placements that the
AUC and its standard error are made of follow from running sums over them (see ``placements``). Ties count half, and
nothing is rounded: the AUC is that of sorting all rows at once.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np

from fmcompress.errors import OutputError
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt32Array

_ROW = np.dtype([("prediction", "<f4"), ("label", "<f4")])
_BLOCK_ROWS = 2**18
_VALUE_BITS = 18
_VALUES = 2**_VALUE_BITS
_FEW = _VALUES // 8
"""Rows of a window from which on counters of all its values are faster than a sort."""
_WINDOWS = 2 ** (32 - _VALUE_BITS)
_TABLE_BITS = 10
"""Lower bits of a prediction that its placement alone, not the AUC, takes no notice of: see ``placements``."""


class SpilledRows:
    """Predictions and labels in a temporary file, 8 bytes a row, in the order in which they were added."""

    def __init__(self) -> None:
        self._rows = 0
        self._range = (math.inf, -math.inf)
        self._file = _temporary_file()
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        return self._rows

    def add(self, predictions: Float32Array, labels: Float32Array) -> None:
        """Add rows.

        Args:
            predictions: float32 (rows,), all finite.
            labels: float32 (rows,).

        Raises:
            OutputError: there is no room for them.
        """
        rows = np.empty(len(predictions), _ROW)
        rows["prediction"], rows["label"] = predictions, labels
        with _writing():
            _write(self._file, rows.tobytes(), self._rows * _ROW.itemsize)
        self._rows += len(rows)
        if len(rows):
            low, high = self._range
            self._range = (min(low, float(predictions.min())), max(high, float(predictions.max())))

    def blocks(self) -> Iterator[tuple[Float32Array, Float32Array]]:
        """Yield predictions and labels, float32 (n,) each, in the order in which they were added."""
        for first in range(0, self._rows, _BLOCK_ROWS):
            size = min(_BLOCK_ROWS, self._rows - first) * _ROW.itemsize
            found = np.frombuffer(os.pread(self._file.fileno(), size, first * _ROW.itemsize), _ROW)
            yield np.ascontiguousarray(found["prediction"]), np.ascontiguousarray(found["label"])

    def auc_with_error(self) -> tuple[float, float]:
        """Return the AUC and its standard error, as ``placements.auc_with_error`` does for rows in memory.

        Raises:
            OutputError: there is no room for the second file.
        """
        sizes = np.zeros(_WINDOWS, np.int64)
        positives = 0
        for predictions, labels in self.blocks():
            sizes += np.bincount(_ordered(predictions) >> _VALUE_BITS, minlength=_WINDOWS)
            positives += int((labels > 0).sum())
        negatives = self._rows - positives
        if not positives or not negatives:
            return math.nan, math.nan
        with _temporary_file() as parted:
            self._part(parted, np.cumsum(sizes) - sizes)
            sums = np.zeros((2, 2))  # of the placements of positives and of negatives, and of their squares
            before = [0, 0]  # negatives and positives below the window
            place = 0
            for size in sizes[sizes > 0].tolist():
                counts = _counts(parted, place, size)
                sums += _sums_of_placements(counts, before, (negatives, positives))
                before = [each + int(own.sum()) for each, own in zip(before, counts, strict=True)]
                place += size
        auc = float(sums[0, 0] / positives)
        if min(positives, negatives) < 2:
            return auc, math.nan
        rows = np.array([positives, negatives])
        spread = np.maximum(sums[:, 1] - rows * (sums[:, 0] / rows) ** 2, 0)
        return auc, math.sqrt(float((spread / (rows * (rows - 1.0))).sum()))

    def placements(self) -> Iterator[Float64Array]:
        """Yield the placement of each row, float64 (n,), block by block, from counts of 2²⁰ values or so.

        Predictions that differ in their last 10 of 32 bits alone, by less than 0.013 % of themselves, count as equal.
        """
        lowest, highest = _ordered(np.array(self._range, np.float32)) >> _TABLE_BITS
        counts = np.zeros((2, int(highest - lowest) + 1), np.int64)
        for predictions, labels in self.blocks():
            keys = (_ordered(predictions) >> _TABLE_BITS) - lowest
            for own, which in zip(counts, (labels <= 0, labels > 0), strict=True):
                np.add.at(own, keys[which], 1)
        of_positives, of_negatives = (_shares_below(each) for each in counts)
        for predictions, labels in self.blocks():
            keys = (_ordered(predictions) >> _TABLE_BITS) - lowest
            yield np.where(labels > 0, of_positives[keys], 1 - of_negatives[keys])

    def _part(self, parted: IO[bytes], places: Int64Array) -> None:
        """Write the lower bits of all predictions, and above them the label, window by window."""
        places = places.copy()
        for predictions, labels in self.blocks():
            keys = _ordered(predictions)
            windows = (keys >> _VALUE_BITS).astype(np.uint16)
            order = np.argsort(windows, kind="stable")
            values = (keys & (_VALUES - 1) | ((labels > 0).astype(np.uint32) << _VALUE_BITS))[order]
            sizes = np.bincount(windows, minlength=_WINDOWS)
            first = 0
            with _writing():
                for window in np.flatnonzero(sizes).tolist():
                    size = int(sizes[window])
                    _write(parted, values[first : first + size].tobytes(), 4 * int(places[window]))
                    first += size
            places += sizes


def _counts(parted: IO[bytes], place: int, size: int) -> Int64Array:
    """Return how many negatives and positives of a window have each of its values, in order, int64 (2, values)."""
    if size <= _FEW:
        found = np.frombuffer(os.pread(parted.fileno(), 4 * size, 4 * place), np.uint32)
        values, which = np.unique(found & (_VALUES - 1), return_inverse=True)
        each = np.bincount(which + len(values) * (found >> _VALUE_BITS), minlength=2 * len(values))
        return each.reshape(2, -1)
    counts = np.zeros(2 * _VALUES, np.int64)
    for first in range(0, size, _VALUES):
        found = np.frombuffer(os.pread(parted.fileno(), 4 * min(_VALUES, size - first), 4 * (place + first)), np.uint32)
        counts += np.bincount(found, minlength=len(counts))
    counts = counts.reshape(2, _VALUES)
    return counts[:, counts.any(axis=0)]


def _sums_of_placements(counts: Int64Array, before: Sequence[int], rows: tuple[int, int]) -> Float64Array:
    """Return Σ V and Σ V² of the positives and of the negatives of a window, float64 (2, 2).

    Args:
        counts: negatives and positives of each value, int64 (2, values).
        before: negatives and positives of the windows below.
        rows: negatives and positives of all.
    """
    below = [(start + np.cumsum(own) - own / 2) / total for start, own, total in zip(before, counts, rows, strict=True)]
    placed = ((counts[1], below[0]), (counts[0], 1 - below[1]))
    return np.array([[float(many @ each), float(many @ each**2)] for many, each in placed])


def _shares_below(counts: Int64Array) -> Float64Array:
    """Return which share lies below each value, half of its own too."""
    below = np.cumsum(counts, dtype=np.float64)
    below -= counts / 2
    return below / max(int(counts.sum()), 1)


def _ordered(predictions: Float32Array) -> UInt32Array:
    """Return integers in the order of numbers, uint32 (n,)."""
    bits = (predictions + np.float32(0)).view(np.uint32)  # -0 is 0
    return np.where(bits >> 31, ~bits, bits | np.uint32(2**31))


def _temporary_file() -> IO[bytes]:
    with _writing():
        return tempfile.TemporaryFile(prefix="fmcompress-", buffering=0)


def _write(file: IO[bytes], content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        done = os.pwrite(file.fileno(), left, offset)
        left, offset = left[done:], offset + done


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = tempfile.gettempdir()
        raise OutputError(
            f"predictions of rows without end cannot be kept in {where}: {error.strerror or error}",
            hint="they take 12 bytes a row while they are scored; TMPDIR names another folder",
        ) from error
