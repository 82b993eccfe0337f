"""Codes read straight from the packed bit streams, many rows and fields at a time.

A row's codes are read through windows of 64 bits. A code has at most 12 bits, so that a window holds at
least five of them; a field with more codes takes more windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import PartLayout

_CODES_PER_WINDOW = 5

U64 = npt.NDArray[np.uint64]


def as_words(codes: npt.NDArray[np.uint8]) -> U64:
    """Return the bytes of the codes as 64-bit words, with one word to spare at the end."""
    words = np.zeros(len(codes) // 8 + 2, dtype="<u8")
    words.view(np.uint8)[: len(codes)] = codes
    return words


@dataclass(frozen=True)
class _Slot:
    """One code of a window, for each field: how far to shift, and what to keep."""

    column: int
    shift: U64
    mask: U64


@dataclass(frozen=True)
class _Window:
    """Some codes of a row, for each field: where in the row they begin."""

    first_bit: U64
    slots: tuple[_Slot, ...]


class CodeReader:
    """Reads the codes of fields that have the same number of codes per row."""

    def __init__(self, words: U64, fields: Sequence[PartLayout]) -> None:
        """Lay out the windows.

        Args:
            words: the codes of all fields, see ``as_words``.
            fields: the fields to read, each with the same number of codes.
        """
        self._words = words
        self._row_bits = np.array([parts.quantizer.row_bits for parts in fields], dtype=np.uint64)
        start_bits = np.array([8 * parts.code_start for parts in fields], dtype=np.uint64)
        widths = np.array([parts.quantizer.widths for parts in fields], dtype=np.uint64)
        ends = np.cumsum(widths, axis=1, dtype=np.uint64)
        begins = ends - widths
        masks = (np.uint64(1) << widths) - np.uint64(1)
        self._codes = widths.shape[1]
        self._windows = []
        for first in range(0, widths.shape[1], _CODES_PER_WINDOW):
            columns = range(first, min(first + _CODES_PER_WINDOW, widths.shape[1]))
            slots = tuple(_Slot(c, begins[:, c] - begins[:, first], masks[:, c]) for c in columns)
            self._windows.append(_Window(start_bits + begins[:, first], slots))

    def read(self, ids: U64) -> U64:
        """Return the codes of categories, uint64 (codes of a row, rows, fields).

        Args:
            ids: category ids, uint64 (rows, fields).
        """
        codes = np.empty((self._codes, *ids.shape), dtype=np.uint64)
        row_starts = ids * self._row_bits
        for window in self._windows:
            bits = self._load(row_starts + window.first_bit)
            for slot in window.slots:
                np.right_shift(bits, slot.shift, out=codes[slot.column])
                codes[slot.column] &= slot.mask
        return codes

    def _load(self, position: U64) -> U64:
        """Return the 64 bits that begin at each position, counted in bits."""
        word = (position >> np.uint64(6)).view(np.int64)
        shift = position & np.uint64(63)
        low = self._words.take(word)
        word += 1
        high = self._words.take(word)
        low >>= shift
        # Two shifts, because a shift by 64 is not defined.
        high <<= np.uint64(1)
        shift ^= np.uint64(63)
        high <<= shift
        low |= high
        return low
