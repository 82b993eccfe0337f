"""Which of many things are meant, in few bytes: a bitmap, or the gaps between those that are, whichever is smaller.

One byte says how: 255 for a bitmap, else k + 64 · c of a Rice code (Golomb 1966): each gap is ⌊gap / 2^k⌋ ones, a zero
and the k lowest bits of the gap. Where c is 1 the gaps are between those that are not meant. Then the bits, the first
of a byte being its highest; a Rice code ends with the last place.
"""

import numpy as np

from fmcompress.types import BoolArray, Int64Array, UInt8Array

_BITMAP = 255
_INVERTED = 64
_MOST_LOW_BITS = 24


def packed_places(meant: BoolArray) -> UInt8Array:
    """Return which are meant, bool (things,), as a file holds them, uint8 (bytes,)."""
    inverted = 2 * int(meant.sum()) > len(meant)
    gaps = np.diff(np.flatnonzero(meant != inverted), prepend=-1) - 1
    low_bits = int(np.argmin([_code_bits(gaps, bits) for bits in range(_MOST_LOW_BITS)]))
    if _code_bits(gaps, low_bits) >= len(meant):
        return np.concatenate([np.array([_BITMAP], np.uint8), np.packbits(meant)])
    how = np.array([low_bits + _INVERTED * inverted], np.uint8)
    return np.concatenate([how, np.packbits(_rice_code(gaps, low_bits))])


def _code_bits(gaps: Int64Array, low_bits: int) -> int:
    return int((gaps >> low_bits).sum()) + len(gaps) * (1 + low_bits)


def _rice_code(gaps: Int64Array, low_bits: int) -> UInt8Array:
    """Return the bits of gaps, uint8 (bits,)."""
    ones = gaps >> low_bits
    zeros = np.cumsum(ones + 1 + low_bits) - 1 - low_bits  # where each run of ones ends
    changes = np.zeros(_code_bits(gaps, low_bits) + 1, np.int64)
    np.add.at(changes, zeros - ones, 1)
    np.add.at(changes, zeros, -1)
    bits = np.cumsum(changes)[:-1].astype(np.uint8)
    for bit in range(low_bits):
        bits[zeros + 1 + bit] = (gaps >> (low_bits - 1 - bit)) & 1
    return bits
