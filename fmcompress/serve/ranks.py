"""Tiers of categories and their places in them, read straight from the packed streams.

A category's place is the number of categories of its tier before it. A stream is cut into 64-bit words, each of which
tells the tiers of 64 or 32 categories. How many of each tier come before a word is kept beside it; those before the
category in its word are counted by bit tricks. So a directory takes half a byte per category at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.counting import tier_bits
from fmcompress.artifact.layout import FieldLayout
from fmcompress.serve.memory import words_of_tiers
from fmcompress.serve.windows import U64

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_ONE = np.uint64(1)
_LANES = {1: np.uint64(2**64 - 1), 2: np.uint64(0x5555555555555555)}
"""Lowest bit of each tier in a word, by the bits of a tier."""


class TierRanks:
    """Finds tiers and places of categories of fields with several tiers."""

    def __init__(self, words: U64, fields: Mapping[int, FieldLayout]) -> None:
        """Count the categories of each tier before each word.

        Args:
            words: the codes of all fields, see ``as_words``.
            fields: the fields with several tiers, by their columns.
        """
        self.columns = list(fields)
        self._words = words
        layouts = list(fields.values())
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

    def find(self, ids: Ids) -> tuple[Ids, Ids]:
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


def _counts(words: U64, field: FieldLayout) -> npt.NDArray[np.int32]:
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


def _matching(words: U64, tier: U64 | np.uint64, width: U64 | np.uint64, lanes: U64 | np.uint64) -> U64:
    """Return words with a bit for each category of a tier, at the lowest bit of its place."""
    same = ~(words ^ (tier * lanes))
    found: U64 = same & (same >> (width - _ONE)) & lanes
    return found


def _popcount(words: U64) -> U64:
    """Return the number of bits that are set in each word."""
    pairs = words - ((words >> _ONE) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    found: U64 = (eights * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return found
