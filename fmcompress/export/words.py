"""Bit streams as 64-bit words, and the codes of categories read from them, in nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.layout import TierLayout
from fmcompress.artifact.packed import PackedFM
from fmcompress.export.graph import Graph
from fmcompress.types import Int64Array, UInt8Array, UInt64Array

WORD_BITS = 64
_SPARE_WORDS = 2


def as_words(data: UInt8Array, words: int) -> UInt64Array:
    """Return bytes, uint8 (bytes,), as uint64 (words,), filled up with zeros."""
    found = np.zeros(words, dtype="<u8")
    found.view(np.uint8)[: len(data)] = data
    return found


def taken(graph: Graph, table: str, places: str, *shape: int) -> str:
    """Return numbers of a flat table, (numbers,), at places, int64 (*shape, batch): of the places' shape.

    GatherElements copies numbers, Gather blocks of memory, which takes several times as long for blocks of one number.
    """
    found = graph.node("GatherElements", table, graph.reshape(places, -1))
    return graph.reshape(found, *shape, -1)


def divided(graph: Graph, numbers: str, by: int) -> str:
    """Return a node of whole numbers, uint64, divided by a power of two, int64."""
    bits = graph.constant(np.uint64(by.bit_length() - 1))
    return graph.cast(graph.node("BitShift", numbers, bits, direction="RIGHT"), np.int64)


@dataclass(frozen=True)
class Streams:
    """The codes of all tiers.

    Attributes:
        words: name of the initializer, uint64 (words,).
        starts: first bit of the stream that begins at a byte of the artifact's codes.
    """

    words: str
    starts: Mapping[int, int]

    @classmethod
    def of(cls, graph: Graph, model: PackedFM, tiers: Sequence[TierLayout]) -> Streams:
        """Put the streams of tiers into a graph, each once."""
        own = {tier.code_start: model.codes[tier.stream] for tier in tiers if tier.code_bytes}
        starts, at = {}, 0
        for start, stream in own.items():
            starts[start] = 8 * at
            at += len(stream)
        joined = np.concatenate([np.empty(0, np.uint8), *own.values()])
        words = graph.table("codes", as_words(joined, at // 8 + _SPARE_WORDS)) if own else ""
        return cls(words, starts)

    def read(self, graph: Graph, tiers: Sequence[TierLayout], ids: str) -> tuple[str, int]:
        """Return the codes of categories, int32 (codes, tiers, batch), and their number: that of a row, or some more.

        Args:
            graph: the graph.
            tiers: of each row of ids, all with codes that take bits for the same number of subspaces.
            ids: node with the ids of categories, int64 (tiers, batch).
        """
        widths = _widths(tiers)
        codes = widths.shape[1]
        begins = np.cumsum(widths, axis=1) - widths
        size = _codes_of_window(widths)
        windows = range(0, codes, size)
        starts = np.array([self.starts.get(tier.code_start, 0) for tier in tiers], dtype=np.int64)
        first_bits = np.stack([starts + begins[:, first] for first in windows])[:, :, None]
        position = graph.node("Mul", ids, graph.constant(widths.sum(axis=1)[:, None]))
        position = graph.node("Add", position, graph.constant(first_bits))
        bits = self._load(graph, position, len(windows), len(tiers))
        shifts, masks = _slots(widths, size, len(windows))
        if len(windows) > 1:
            bits = graph.reshape(bits, len(windows), 1, len(tiers), -1)
        found = graph.node("BitShift", bits, graph.constant(shifts), direction="RIGHT")
        found = graph.cast(graph.node("BitwiseAnd", found, graph.constant(masks)), np.int32)
        if len(windows) > 1:
            found = graph.reshape(found, len(windows) * size, len(tiers), -1)
        return found, len(windows) * size

    def _load(self, graph: Graph, position: str, *shape: int) -> str:
        """Return the 64 bits from bit positions on, int64 (*shape, batch): uint64 (*shape, batch)."""
        unsigned = graph.cast(position, np.uint64)
        word = divided(graph, unsigned, WORD_BITS)
        shift = graph.node("BitwiseAnd", unsigned, graph.constant(np.uint64(WORD_BITS - 1)))
        low = taken(graph, self.words, word, *shape)
        high = taken(graph, self.words, graph.node("Add", word, graph.constant(np.int64(1))), *shape)
        low = graph.node("BitShift", low, shift, direction="RIGHT")
        # Two shifts, because a shift by 64 is not defined.
        high = graph.node("BitShift", high, graph.constant(np.uint64(1)), direction="LEFT")
        back = graph.node("BitwiseXor", shift, graph.constant(np.uint64(WORD_BITS - 1)))
        return graph.node("BitwiseOr", low, graph.node("BitShift", high, back, direction="LEFT"))


def _widths(tiers: Sequence[TierLayout]) -> Int64Array:
    """Return the bits of each code, int64 (tiers, codes); 0 for that of the linear weight where a tier has none."""
    codes = max(len(tier.quantizer.widths) for tier in tiers)
    found = np.zeros((len(tiers), codes), dtype=np.int64)
    for own, tier in zip(found, tiers, strict=True):
        own[: len(tier.quantizer.widths)] = tier.quantizer.widths
    return found


def _codes_of_window(widths: Int64Array) -> int:
    """Return how many codes of bits ``widths``, int64 (tiers, codes), fit into 64 bits, whatever the tier."""
    codes = widths.shape[1]
    for size in range(codes, 1, -1):
        if all(widths[:, first : first + size].sum(axis=1).max() <= WORD_BITS for first in range(0, codes, size)):
            return size
    return 1


def _slots(widths: Int64Array, size: int, windows: int) -> tuple[UInt64Array, UInt64Array]:
    """Return how far to shift for each code, and what to keep, uint64 (codes, tiers, 1).

    Of several windows it is (windows, codes of a window, tiers, 1).

    Args:
        widths: bits of each code, int64 (tiers, codes).
        size: codes of a window.
        windows: their number.
    """
    filled = np.pad(widths, ((0, 0), (0, windows * size - widths.shape[1]))).reshape(len(widths), windows, size)
    begins = np.cumsum(filled, axis=2) - filled
    # A code without bits may begin where its window ends: a shift by all 64 bits is not defined.
    both = np.minimum(begins, WORD_BITS - 1), (1 << filled) - 1
    shape = (windows, size, len(widths), 1) if windows > 1 else (size, len(widths), 1)
    shifts, masks = (each.transpose(1, 2, 0).reshape(shape).astype(np.uint64) for each in both)
    return shifts, masks
