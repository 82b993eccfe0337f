"""Which tier a category is in, and how many categories of that tier come before it, in nodes.

The stream of each field is cut into blocks of a few 64-bit words. How many categories of each tier come before a block
is kept beside it; those before the category in its block are counted by bit tricks, as in ``serve.bit_streams``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fmcompress.artifact.bitpack import unpack
from fmcompress.artifact.header import tier_bits
from fmcompress.artifact.layout import FieldLayout
from fmcompress.artifact.packed import PackedFM
from fmcompress.export.graph import Graph
from fmcompress.export.words import WORD_BITS, as_words, divided, taken
from fmcompress.types import AnyArray, Int32Array, UInt64Array

_MAX_WORDS = 64
_SHARES = 0.01, 0.04
"""Of the bytes of values and codes: what counts may take in small artifacts, where nodes weigh more, and in others."""

_NODES_BYTES, _COLUMN_BYTES, _ALL_SHARE = 8_000, 350, 0.09
"""What nodes and the constants of a column take about, and which share they and the counts should keep to together."""

_COUNT_BYTES = 4
_LANES = {1: 2**64 - 1, 2: 0x5555555555555555}


@dataclass(frozen=True)
class _Directory:
    """The streams of fields, each beginning with a block.

    Attributes:
        words: the streams, uint64 (words,).
        counts: categories of each tier before each block, int32 (blocks · tiers,).
        first_words: of each field where its stream begins, int64 (fields,).
        first_counts: of each field where its counts begin, int64 (fields,).
    """

    words: UInt64Array
    counts: Int32Array
    first_words: AnyArray
    first_counts: AnyArray


def ranks(graph: Graph, model: PackedFM, fields: Sequence[FieldLayout], ids: str) -> tuple[str, str]:
    """Return nodes with the tiers of categories, and their places in these, int64 (fields, batch).

    Args:
        graph: the graph.
        model: the model.
        fields: fields with several tiers; a field may stand here several times.
        ids: node with the ids of categories, int64 (fields, batch).
    """
    words_of_block = _words_of_block(model, fields)
    found = _directory(model, fields, words_of_block)
    words = graph.table("tiers", found.words)
    widths = np.array([tier_bits(field.sizes) for field in fields], dtype=np.int64)[:, None]
    bits = graph.node("Mul", ids, graph.constant(widths)) if (widths > 1).any() else ids
    block = divided(graph, graph.cast(bits, np.uint64), words_of_block * WORD_BITS)
    begin = graph.node("Mul", block, graph.constant(np.int64(words_of_block * WORD_BITS)))
    within = graph.node("Sub", bits, begin)
    first = graph.node("Mul", block, graph.constant(np.int64(words_of_block)))
    first = graph.node("Add", first, graph.constant(found.first_words[:, None]))
    tier = _tier(graph, words, first, within, widths)
    counts = taken(
        graph, graph.table("tier_counts", found.counts), _count_place(graph, fields, found, block, tier), len(fields)
    )
    each = _block_words(graph, words, first, words_of_block, len(fields))
    matching = _matching(graph, each, tier, within, widths, words_of_block)
    before = graph.sum(_ones(graph, matching), 0)
    return tier, graph.node("Add", before, graph.cast(counts, np.int64))


def _words_of_block(model: PackedFM, fields: Sequence[FieldLayout]) -> int:
    """Return the fewest words of a block with which the counts stay small beside the artifact."""
    own = {field.tier_start: field for field in fields}.values()
    stored = model.values.nbytes + model.codes.nbytes
    least, most = (share * stored for share in _SHARES)
    rest = _NODES_BYTES + _COLUMN_BYTES * len(model.schema.id_names)
    most_bytes = min(max(_ALL_SHARE * stored - rest, least), most)
    words = 1
    while words < _MAX_WORDS:
        counts = sum(len(field.sizes) * _blocks(field, words) for field in own)
        if _COUNT_BYTES * counts <= most_bytes:
            break
        words *= 2
    return words


def _blocks(field: FieldLayout, words: int) -> int:
    return -(-field.tier_bytes * 8 // (words * WORD_BITS))


def _directory(model: PackedFM, fields: Sequence[FieldLayout], words: int) -> _Directory:
    own = {field.tier_start: field for field in fields}
    counts = [_counts(model, field, words) for field in own.values()]
    streams = [as_words(model.codes[field.tier_stream], words * _blocks(field, words)) for field in own.values()]
    places = {start: place for place, start in enumerate(own)}
    of = [places[field.tier_start] for field in fields]
    starts = [np.array([0, *accumulate(map(len, each))], dtype=np.int64)[of] for each in (streams, counts)]
    return _Directory(np.concatenate(streams), np.concatenate(counts), *starts)


def _counts(model: PackedFM, field: FieldLayout, words: int) -> Int32Array:
    """Return how many categories of each tier come before each block of a field, int32 (blocks · tiers,)."""
    (width,) = field.tier_widths
    of = unpack(model.codes[field.tier_stream], sum(field.sizes), field.tier_widths)[:, 0]
    size, tiers = words * WORD_BITS // width, len(field.sizes)
    blocks = _blocks(field, words)
    found = np.bincount(np.arange(len(of)) // size * tiers + of, minlength=blocks * tiers).reshape(blocks, tiers)
    return (np.cumsum(found, axis=0) - found).astype(np.int32).reshape(-1)


def _tier(graph: Graph, words: str, first: str, within: str, widths: AnyArray) -> str:
    unsigned = graph.cast(within, np.uint64)
    word = graph.node("Add", first, divided(graph, unsigned, WORD_BITS))
    shift = graph.node("BitwiseAnd", unsigned, graph.constant(np.uint64(WORD_BITS - 1)))
    bits = graph.node("BitShift", taken(graph, words, word, len(widths)), shift, direction="RIGHT")
    masks = ((1 << widths) - 1).astype(np.uint64)
    return graph.cast(graph.node("BitwiseAnd", bits, graph.constant(masks)), np.int64)


def _count_place(graph: Graph, fields: Sequence[FieldLayout], found: _Directory, block: str, tier: str) -> str:
    tiers = np.array([len(field.sizes) for field in fields], dtype=np.int64)[:, None]
    place = graph.node("Mul", block, graph.constant(tiers))
    place = graph.node("Add", place, graph.constant(found.first_counts[:, None]))
    return graph.node("Add", place, tier)


def _block_words(graph: Graph, words: str, first: str, words_of_block: int, fields: int) -> str:
    """Return the words of the blocks, uint64 (words of a block, fields, batch)."""
    every = graph.node("Add", graph.reshape(first, 1, fields, -1), _word_numbers(graph, words_of_block))
    return taken(graph, words, every, words_of_block, fields)


def _word_numbers(graph: Graph, words_of_block: int) -> str:
    return graph.constant(np.arange(words_of_block, dtype=np.int64)[:, None, None])


def _matching(graph: Graph, words: str, tier: str, within: str, widths: AnyArray, words_of_block: int) -> str:
    """Return words with a bit for each category of the same tier before the own one, uint64."""
    most = 1 << int(widths.max())
    different = np.array(
        [[~(tier * _LANES[int(w)]) & (2**64 - 1) for tier in range(most)] for (w,) in widths], np.uint64
    )
    place = tier
    if len(widths) > 1:
        place = graph.node("Add", tier, graph.constant(np.arange(len(widths), dtype=np.int64)[:, None] * most))
    pattern = taken(graph, graph.constant(different.reshape(-1)), place, len(widths))
    same = graph.node("BitwiseXor", words, pattern)
    if (widths > 1).any():
        other = graph.node("BitShift", same, graph.constant((widths - 1).astype(np.uint64)), direction="RIGHT")
        same = graph.node("BitwiseAnd", same, other)
    return graph.node("BitwiseAnd", same, _before(graph, within, widths, words_of_block))


def _before(graph: Graph, within: str, widths: AnyArray, words_of_block: int) -> str:
    """Return masks of the lowest bits of the categories before a bit of a block, uint64 (words, fields, batch)."""
    used, kinds = np.unique(widths, return_inverse=True)
    masks = np.array([[((1 << bits) - 1) & _LANES[int(w)] for bits in range(WORD_BITS + 1)] for w in used], np.uint64)
    begins = np.arange(words_of_block, dtype=np.int64)[:, None, None] * WORD_BITS
    bits = graph.node("Sub", within, graph.constant(begins))
    bits = graph.node("Min", graph.node("Max", bits, graph.constant(np.int64(0))), graph.constant(np.int64(WORD_BITS)))
    if len(used) > 1:
        bits = graph.node("Add", bits, graph.constant(kinds.reshape(widths.shape) * (WORD_BITS + 1)))
    return taken(graph, graph.constant(masks.reshape(-1)), bits, words_of_block, len(widths))


def _ones(graph: Graph, words: str) -> str:
    """Return the number of bits that are set in each word, int64.

    Only shifts and masks are at home in uint64 everywhere; sums are taken in int64, where the bits are the same.
    """
    found = words
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        keep = graph.constant(np.uint64(mask))
        high = graph.node("BitShift", found, graph.constant(np.uint64(shift)), direction="RIGHT")
        halves = [graph.cast(graph.node("BitwiseAnd", half, keep), np.int64) for half in (found, high)]
        found = graph.cast(graph.node("Add", *halves), np.uint64)
    bytes_ = graph.cast(found, np.int64)
    total = graph.node("Mul", bytes_, graph.constant(np.int64(0x0101010101010101)))
    return divided(graph, graph.cast(total, np.uint64), 1 << WORD_BITS - 8)
