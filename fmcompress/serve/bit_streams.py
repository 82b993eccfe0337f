"""Codes and tiers read straight from the packed bit streams, many rows and fields at a time.

A row's codes are read through windows of 64 bits. A code has at most 12 bits, so that a window holds at least five of
them; a field with more codes takes more windows.

A category's place in its tier is the number of categories of this tier before it. The stream of tiers is cut into
64-bit words, each of which tells the tiers of 64 or 32 categories. How many of each tier come before a word is kept
beside it; those before the category in its word are counted by bit tricks. So a directory takes half a byte per
category at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fmcompress.artifact.header import tier_bits
from fmcompress.artifact.layout import FieldLayout, TierLayout
from fmcompress.serve.memory import words_of_tiers
from fmcompress.types import BoolArray, Int32Array, Int64Array, UInt8Array, UInt64Array

_CODES_PER_WINDOW = 5

_ONE = np.uint64(1)
_LANES = {1: np.uint64(2**64 - 1), 2: np.uint64(0x5555555555555555)}
"""Lowest bit of each tier in a word, by the bits of a tier."""


def as_words(codes: UInt8Array) -> UInt64Array:
    """Return the bytes of the codes, uint8 (bytes,), as uint64 (words,), with one word to spare at the end."""
    words = np.zeros(len(codes) // 8 + 2, dtype="<u8")
    words.view(np.uint8)[: len(codes)] = codes
    return words


@dataclass(frozen=True)
class _Slot:
    """One code of a window: of each field how far to shift, and what to keep, uint64 (fields,)."""

    column: int
    shift: UInt64Array
    mask: UInt64Array


@dataclass(frozen=True)
class _Window:
    """Some codes of a row: of each field where the first one begins, uint64 (fields,)."""

    first_bit: UInt64Array
    slots: tuple[_Slot, ...]


class CodeReader:
    """Reads the codes of fields that have the same number of codes per row."""

    def __init__(self, words: UInt64Array, fields: Sequence[TierLayout]) -> None:
        """Lay out the windows.

        Args:
            words: the codes of all fields, uint64 (words,), see ``as_words``.
            fields: the fields to read, each with the same number of codes.
        """
        self._words = words
        self._row_bits = np.array([tier.quantizer.row_bits for tier in fields], dtype=np.uint64)
        start_bits = np.array([8 * tier.code_start for tier in fields], dtype=np.uint64)
        widths = np.array([tier.quantizer.widths for tier in fields], dtype=np.uint64)
        ends = np.cumsum(widths, axis=1, dtype=np.uint64)
        begins = ends - widths
        masks = (np.uint64(1) << widths) - np.uint64(1)
        self._codes = widths.shape[1]
        self._windows = []
        for first in range(0, widths.shape[1], _CODES_PER_WINDOW):
            columns = range(first, min(first + _CODES_PER_WINDOW, widths.shape[1]))
            slots = tuple(_Slot(c, begins[:, c] - begins[:, first], masks[:, c]) for c in columns)
            self._windows.append(_Window(start_bits + begins[:, first], slots))

    def read(self, ids: UInt64Array) -> UInt64Array:
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

    def _load(self, position: UInt64Array) -> UInt64Array:
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


class TierRanks:
    """Finds the tiers of categories and their places in them; in a row the other tiers of a field are missing."""

    def __init__(self, words: UInt64Array, fields: Sequence[FieldLayout]) -> None:
        """Count the categories of each tier before each word.

        Args:
            words: the codes of all fields, uint64 (words,), see ``as_words``.
            fields: of each column of ids, some of them with several tiers.
        """
        self.columns = [column for column, field in enumerate(fields) if field.tier_bytes]
        tier_ends = np.cumsum([len(field.tiers) for field in fields])
        self._firsts, self._columns = np.concatenate(([0], tier_ends[:-1])), int(tier_ends[-1])
        self._words = words
        layouts = [fields[column] for column in self.columns]
        self._start_bits = np.array([8 * field.tier_start for field in layouts], dtype=np.uint64)
        self._widths = np.array([tier_bits(field.sizes) for field in layouts], dtype=np.uint64)
        self._lanes = np.array([_LANES[int(width)] for width in self._widths], dtype=np.uint64)
        self._masks = (_ONE << self._widths) - _ONE
        self._tiers = np.array([len(field.sizes) for field in layouts], dtype=np.int64)
        # Fields that share a table share its counts.
        counts = {field.tier_start: _counts(words, field) for field in layouts}
        ends = accumulate((len(count) for count in counts.values()), initial=0)
        starts = dict(zip(counts, ends, strict=False))
        # Where the counts of word 0 would stand, if the stream began there.
        self._count_starts = (
            np.array([starts[field.tier_start] for field in layouts])
            - (self._start_bits >> np.uint64(6)).view(np.int64) * self._tiers
        )
        self._counts = np.concatenate(list(counts.values()))

    def split(self, ids: Int64Array, missing: BoolArray | None) -> tuple[Int64Array, BoolArray]:
        """Return ids in the tiers, int64, and where they are missing, bool (rows, tiers of all fields) each.

        Args:
            ids: in the fields, 0 where one is missing, int64 (rows, ids).
            missing: where they are, bool (rows, ids); None where none is.
        """
        tiers, places = self.find(ids[:, self.columns])
        ids = ids.copy()
        ids[:, self.columns] = places
        at = self._firsts + np.arange(len(ids))[:, None] * self._columns
        at[:, self.columns] += tiers
        found = np.zeros((len(ids), self._columns), dtype=np.int64)
        found.reshape(-1)[at] = ids
        absent = np.ones(found.shape, dtype=np.bool_)
        absent.reshape(-1)[at] = False if missing is None else missing
        return found, absent

    def find(self, ids: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Return tier of categories, and their places in them, int64 (rows, fields) each.

        Args:
            ids: category ids in the fields with several tiers, int64 (rows, fields).
        """
        bits = ids.view(np.uint64) * self._widths + self._start_bits
        at = (bits >> np.uint64(6)).view(np.int64)
        shift = bits & np.uint64(63)
        word = self._words.take(at)
        tier = (word >> shift) & self._masks
        before = _popcount(_matching(word, tier, self._widths, self._lanes) & ((_ONE << shift) - _ONE))
        tiers = tier.view(np.int64)
        counts = self._counts.take(self._count_starts + at * self._tiers + tiers)
        return tiers, before.view(np.int64) + counts


def _counts(words: UInt64Array, field: FieldLayout) -> Int32Array:
    """Return how many categories of each tier come before each word, int32 (words · tiers,).

    In the first word that is minus what looks like categories before the stream begins.
    """
    first, start = divmod(8 * field.tier_start, 64)
    own = words[first : first + words_of_tiers(field)]
    width = np.uint64(tier_bits(field.sizes))
    counts = np.empty((len(own), len(field.sizes)), dtype=np.int32)
    for tier in range(len(field.sizes)):
        lanes = _matching(own, np.uint64(tier), width, _LANES[int(width)])
        found = _popcount(lanes).astype(np.int64)
        foreign = _popcount(lanes[:1] & ((_ONE << np.uint64(start)) - _ONE)).astype(np.int64)
        counts[:, tier] = np.cumsum(found) - found - foreign
    return counts.reshape(-1)


def _matching(
    words: UInt64Array, tier: UInt64Array | np.uint64, width: UInt64Array | np.uint64, lanes: UInt64Array | np.uint64
) -> UInt64Array:
    """Return words with a bit for each category of a tier, at the lowest bit of its place."""
    same = ~(words ^ (tier * lanes))
    found: UInt64Array = same & (same >> (width - _ONE)) & lanes
    return found


def _popcount(words: UInt64Array) -> UInt64Array:
    """Return the number of bits that are set in each word."""
    pairs = words - ((words >> _ONE) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    found: UInt64Array = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return found
