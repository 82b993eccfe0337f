"""Codewords in the order in which a compact artifact has them: by how many categories have them, most first.

The order of a codebook's rows is free. In this one, few bytes tell how often each occurs.
"""

from collections.abc import Iterator

import numpy as np

from fmcompress.artifact.bitpack import pack, unpack
from fmcompress.artifact.header import Header
from fmcompress.artifact.layout import TierLayout, stored_numbers, tier_layouts
from fmcompress.types import Float16Array, Int64Array, UInt8Array, UInt16Array

_CHUNK_ROWS = 1 << 16


def sort_codewords(header: Header, values: Float16Array, codes: UInt8Array) -> None:
    """Sort the codewords of each codebook, in place; those that occur as often keep their order.

    Args:
        header: fields, tiers and quantizers.
        values: of the artifact, float16 (values,).
        codes: of the artifact, uint8 (bytes,).
    """
    for tier in tier_layouts(header):
        if tier.code_bytes:
            _sort_tier(tier, values, codes)


def _sort_tier(tier: TierLayout, values: Float16Array, codes: UInt8Array) -> None:
    sizes, widths = tier.quantizer.code_sizes, tier.quantizer.widths
    counts = [np.zeros(1 << width, dtype=np.int64) for width in widths]
    for _, chunk in _chunks(tier, codes):
        for column, width in enumerate(widths):
            counts[column] += np.bincount(chunk[:, column], minlength=1 << width)
    orders = [np.argsort(-own[:size], kind="stable") for own, size in zip(counts, sizes, strict=True)]
    if all((np.diff(order) > 0).all() for order in orders):
        return
    _sort_tables(tier, orders, values, codes)
    places = [_places(order, 1 << width) for order, width in zip(orders, widths, strict=True)]
    stream, row_bits = codes[tier.stream], tier.quantizer.row_bits
    for start, chunk in _chunks(tier, codes):
        moved = np.stack([place[own] for place, own in zip(places, chunk.T, strict=True)], axis=1)
        packed = pack(moved, widths)
        at = start * row_bits // 8
        stream[at : at + len(packed)] = packed


def _chunks(tier: TierLayout, codes: UInt8Array) -> Iterator[tuple[int, UInt16Array]]:
    """Yield the codes of a tier, not too many rows at a time, and the first of these rows."""
    stream, row_bits = codes[tier.stream], tier.quantizer.row_bits
    for start in range(0, tier.cardinality, _CHUNK_ROWS):  # a multiple of 8 rows begins where a byte does
        count = min(_CHUNK_ROWS, tier.cardinality - start)
        yield start, unpack(stream[start * row_bits // 8 :], count, tier.quantizer.widths)


def _sort_tables(tier: TierLayout, orders: list[Int64Array], values: Float16Array, codes: UInt8Array) -> None:
    tables = tier.tables if tier.quantizer.codewords else ()
    if tier.quantizer.linear_codewords > 0:
        tables = (*tables, tier.linear)
    for table, order in zip(tables, orders, strict=True):
        numbers = stored_numbers(table, values, codes)
        numbers[...] = numbers[order]


def _places(order: Int64Array, size: int) -> UInt16Array:
    """Return the new place of each codeword, uint16 (size,); what is none keeps its own."""
    found = np.arange(size, dtype=np.uint16)
    found[order] = np.arange(len(order), dtype=np.uint16)
    return found
