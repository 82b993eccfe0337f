"""64-bit keys and bits: the mixing of keys, and words read out of bytes at any bit, whole arrays at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import numpy as np

from fmcompress.types import AnyArray, BoolArray, Int64Array, UInt8Array, UInt64Array

WORD_BITS = 64
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_FIRST_BACK, _SECOND_BACK = np.uint64(0x96DE1B173F119089), np.uint64(0x319642B2D24D8EC3)
# Bounds the memory of the bits, which take a byte each while they are packed or counted.
CHUNK_BITS = 1 << 17


def as_keys(keys: AnyArray) -> UInt64Array:
    """Return whole numbers of any dtype as keys of 64 bits, uint64 (keys,): negative ones as two's complement."""
    if keys.dtype == np.uint64:
        return keys
    found: UInt64Array = keys.astype(np.int64, copy=False).view(np.uint64)
    return found


def mixed(keys: UInt64Array) -> UInt64Array:
    """Return keys mixed by a bijection of 64 bits, the finalizer of splitmix64, uint64 (keys,)."""
    found: UInt64Array = keys ^ (keys >> np.uint64(30))
    found *= _FIRST
    found ^= found >> np.uint64(27)
    found *= _SECOND
    found ^= found >> np.uint64(31)
    return found


def unmixed(keys: UInt64Array) -> UInt64Array:
    """Return what ``mixed`` made these keys of, uint64 (keys,)."""
    found: UInt64Array = keys ^ (keys >> np.uint64(31)) ^ (keys >> np.uint64(62))
    found *= _SECOND_BACK
    found ^= (found >> np.uint64(27)) ^ (found >> np.uint64(54))
    found *= _FIRST_BACK
    found ^= (found >> np.uint64(30)) ^ (found >> np.uint64(60))
    return found


def buckets_of(keys: UInt64Array, count: int) -> Int64Array:
    """Return ⌊x · count / 2⁶⁴⌋ of mixed keys x, below ``count`` and in their order, int64 (keys,)."""
    n = np.uint64(count)
    found: UInt64Array = ((keys >> _HALF) * n + (((keys & _LOW) * n) >> _HALF)) >> _HALF
    return found.view(np.int64)


class Words:
    """Bytes as a stream of bits, least significant bit first, of which 64 are read at any place.

    Eight bytes before the first bit that is read, and sixteen behind the last, must be there: words are read where they
    are aligned in memory, so that nothing is copied.
    """

    def __init__(self, data: UInt8Array, start: int) -> None:
        """Take bytes as they lie.

        Args:
            data: uint8 (bytes,).
            start: byte whose first bit is bit 0, at least 8.
        """
        skipped = -data.ctypes.data % 8
        self._words: UInt64Array = data[skipped : skipped + (len(data) - skipped) // 8 * 8].view("<u8")
        self._first = 8 * (start - skipped)

    def at(self, bits: Int64Array) -> UInt64Array:
        """Return the 64 bits that begin at each of these, uint64 (bits,)."""
        places = bits + self._first
        words = places >> 6
        shifts = (places & 63).view(np.uint64)
        found: UInt64Array = self._words[words] >> shifts
        found |= (self._words[words + 1] << np.uint64(1)) << (shifts ^ np.uint64(63))
        return found


def _counted(words: UInt64Array) -> Int64Array:
    """Return how many bits of words are set, int64 (words,); for numpy before 2.0."""
    ones, twos, fours = (np.uint64(value) for value in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    found: UInt64Array = words - ((words >> np.uint64(1)) & ones)
    found = (found & twos) + ((found >> np.uint64(2)) & twos)
    found = (found + (found >> np.uint64(4))) & fours
    found = (found * np.uint64(0x0101010101010101)) >> np.uint64(56)
    return found.view(np.int64)


bit_count = cast(Callable[[UInt64Array], AnyArray], getattr(np, "bitwise_count", _counted))
"""How many bits of words, uint64 (words,), are set: whole numbers (words,)."""


def after_zeros(words: UInt64Array, wanted: Int64Array) -> Int64Array:
    """Return the place behind the wanted-th zero bit of each word, int64 (words,); 0 where none is wanted.

    Args:
        words: uint64 (words,), with at least as many zeros each.
        wanted: int64 (words,), at most 64.
    """
    left = ~words
    found = np.zeros(len(words), dtype=np.uint64)
    missing = wanted.astype(np.int64)
    for width in (32, 16, 8, 4, 2, 1):
        shift = np.uint64(width)
        here = bit_count(left & np.uint64((1 << width) - 1))
        beyond = missing > here
        missing -= np.where(beyond, here, 0)
        step = beyond * shift
        left >>= step
        found += step
    return found.view(np.int64) + (missing > 0)


def leading_ones(words: UInt64Array) -> Int64Array:
    """Return how many of the first bits of words are ones, up to a zero, int64 (words,)."""
    return bit_count(words & ~(words + np.uint64(1))).astype(np.int64)


def packed_numbers(numbers: UInt64Array, width: int) -> UInt8Array:
    """Return the lowest bits of numbers as a stream of bits, uint8 (⌈numbers · width / 8⌉,).

    Args:
        numbers: uint64 (numbers,).
        width: how many bits of each, 0 to 64.
    """
    stream = np.empty((len(numbers) * width + 7) // 8, dtype=np.uint8)
    shifts = np.arange(width, dtype=np.uint64)
    step = max(8, CHUNK_BITS // max(1, width) // 8 * 8)
    for start in range(0, len(numbers) if width else 0, step):
        chunk = numbers[start : start + step]
        if width % 8 == 0:
            found = np.ascontiguousarray(chunk, "<u8").view(np.uint8).reshape(-1, 8)[:, : width // 8].reshape(-1)
        else:
            bits = ((chunk[:, None] >> shifts) & np.uint64(1)).astype(np.uint8)
            found = np.packbits(bits.reshape(-1), bitorder="little")
        stream[start * width // 8 :][: len(found)] = found
    return stream


def flags_of(stream: UInt8Array, bits: int) -> Iterator[BoolArray]:
    """Yield the bits of a stream, so many of them in all, bool (bits,), not too many at a time."""
    for start in range(0, bits, CHUNK_BITS):
        count = min(CHUNK_BITS, bits - start)
        yield np.unpackbits(stream[start // 8 :][: (count + 7) // 8], bitorder="little", count=count).view(np.bool_)
