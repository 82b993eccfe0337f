"""Codes as a bit stream, least significant bit first.

Two rows of the widths (3, 2), codes a = (a2 a1 a0), b = (b1 b0) in bits, then c and d of the next row:

    byte 0                              byte 1
    bit 0  1  2  3  4  5  6  7          bit 0  1
        a0 a1 a2 b0 b1 c0 c1 c2             d0 d1  0 …

Row r starts at bit r · width, width being the sum of the widths; the last byte is filled up with zeros.
"""

import numpy as np

from fmcompress.types import UInt8Array, UInt16Array

# Bounds the memory of the bits, which take a byte each while they are (un)packed.
_CHUNK_BITS = 1 << 22
_WORD_BITS = 64


def pack(codes: UInt16Array, widths: tuple[int, ...]) -> UInt8Array:
    """Pack codes into a bit stream.

    Args:
        codes: uint16 (rows, codes of a row), each below 2 to the power of its width.
        widths: bits of each of a row's codes.

    Returns:
        The stream, uint8 (⌈rows · sum(widths) / 8⌉,).
    """
    row_bits = sum(widths)
    stream = np.empty((len(codes) * row_bits + 7) // 8, dtype=np.uint8)
    step = _chunk_rows(row_bits)
    for start in range(0, len(codes) if row_bits else 0, step):
        chunk = codes[start : start + step]
        bits = _bits_of_words(chunk, widths) if row_bits <= _WORD_BITS else _bits(chunk, widths)
        packed = np.packbits(bits.reshape(-1), bitorder="little")
        stream[start * row_bits // 8 :][: len(packed)] = packed
    return stream


def _bits(codes: UInt16Array, widths: tuple[int, ...]) -> UInt8Array:
    """Return the bits of rows, uint8 (rows, bits of a row), of codes, uint16 (rows, codes of a row)."""
    bits = np.empty((len(codes), sum(widths)), dtype=np.uint8)
    at = 0
    for column, width in enumerate(widths):
        shifts = np.arange(width, dtype=np.uint16)
        bits[:, at : at + width] = (codes[:, column, None] >> shifts) & 1
        at += width
    return bits


def _bits_of_words(codes: UInt16Array, widths: tuple[int, ...]) -> UInt8Array:
    """Return the same of rows that a word holds, which is faster."""
    words = np.zeros(len(codes), dtype="<u8")
    at = 0
    for column, width in enumerate(widths):
        if width:
            words |= codes[:, column].astype(np.uint64) << np.uint64(at)
        at += width
    used = words.view(np.uint8).reshape(len(codes), -1)[:, : (at + 7) // 8]
    bits = np.unpackbits(used, axis=1, bitorder="little")
    return np.ascontiguousarray(bits[:, :at])


def unpack(stream: UInt8Array, rows: int, widths: tuple[int, ...]) -> UInt16Array:
    """Return the codes of a bit stream, uint16 (rows, codes of a row): the inverse of ``pack``.

    Args:
        stream: uint8 (bytes,); what follows the last row is left alone.
        rows: number of rows.
        widths: bits of each of a row's codes.
    """
    row_bits = sum(widths)
    codes = np.zeros((rows, len(widths)), dtype=np.uint16)
    step = _chunk_rows(row_bits)
    for start in range(0, rows if row_bits else 0, step):
        count = min(step, rows - start)
        part = stream[start * row_bits // 8 :][: (count * row_bits + 7) // 8]
        bits = np.unpackbits(part, bitorder="little", count=count * row_bits).reshape(count, row_bits)
        at = 0
        for column, width in enumerate(widths):
            shifts = np.arange(width, dtype=np.uint16)
            codes[start : start + count, column] = (bits[:, at : at + width].astype(np.uint16) << shifts).sum(axis=1)
            at += width
    return codes


def _chunk_rows(row_bits: int) -> int:
    """Return a multiple of 8, so that a chunk of rows ends where a byte does."""
    return max(8, _CHUNK_BITS // max(1, row_bits) // 8 * 8)
