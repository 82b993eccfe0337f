"""The 64-bit keys of one field as a static structure: from keys to category ids, in some 18 bits a key.

    24 bytes     n keys, c check bits, e keys in full: unsigned 64-bit numbers
    buckets      of each bucket, 0 to n − 1, a one for each of its keys and then a zero: 2 n bits
    checks       of each key its lowest c bits
    in full      e keys of 64 bits, then the ids of these, 32 bits each
    16 bytes     zeros

Keys are mixed by a bijection of 64 bits first, the finalizer of splitmix64, and stand in the order of what comes out:
a key's id is its rank. Mixed keys x are spread evenly over the buckets ⌊x · n / 2⁶⁴⌋, which is Elias and Fano's way to
keep sorted numbers: high bits in unary, low bits as they are. Buckets and checks are filled up to 8 bytes. With fewer
check bits than tell all 64-bit keys apart, keys of the same bucket and the same check are kept in full too; a key that
is none of them is taken for one with a chance of 2^-c at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.key_bits import (
    WORD_BITS,
    Words,
    after_zeros,
    as_keys,
    bit_count,
    buckets_of,
    flags_of,
    leading_ones,
    mixed,
    packed_numbers,
    unmixed,
)
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.types import AnyArray, BoolArray, Int32Array, Int64Array, UInt8Array, UInt16Array, UInt64Array

CHECK_BITS = 16
"""One in 65,536 unknown keys is taken for a known one; each bit that halves this costs a bit a key."""

MOST_IN_A_BUCKET = 63
"""Of two billion keys 13 or so share the fullest bucket; more than this are none that mixing has spread."""

CheckBits = int | Literal["exact"]

_HEAD_BYTES, _TAIL_BYTES, _WORD_BYTES = 24, 16, 8
# Buckets of a block, whose first key is known, and blocks that count from the same one, so that 16 bits do.
_BLOCK, _BLOCKS = 16, 64
# Look-ups of a chunk stay in the cache.
_CHUNK_KEYS = 1 << 14
_DAMAGED = "a vocabulary is damaged: its keys"


@checked_arguments
@dataclass(frozen=True, eq=False)
class HashedKeys:
    """The keys of a field: each key's id is its rank among the mixed keys, 0 to ``count`` − 1.

    Attributes:
        count: number of keys.
        check_bits: bits that tell a key from others of its bucket, 1 to 64.
        in_full: number of keys that are kept in full too.
        data: everything, as ``encode`` returns it, uint8 (bytes,).
    """

    count: int
    check_bits: int
    in_full: int
    data: UInt8Array

    @classmethod
    @checked_arguments
    def of(cls, keys: AnyArray, check_bits: CheckBits = CHECK_BITS) -> HashedKeys:
        """Return the structure of keys, whatever their order.

        Args:
            keys: uint64 or int64 (keys,), all different; negative ones are those of the same 64 bits.
            check_bits: how many bits tell keys of the same bucket apart; ``exact`` for as many as it takes to know
                whether a key is one of these.

        Raises:
            UsageError: a key is there twice, keys are no whole numbers, or there are too many.
        """
        needed = exact_bits(len(keys))
        width = needed if check_bits == "exact" else check_bits
        if isinstance(width, str) or not 1 <= width <= WORD_BITS:
            raise UsageError(f"check_bits is {width!r}, expected 1 to {WORD_BITS}, or 'exact'")
        if len(keys) > MAX_CATEGORIES:
            raise UsageError(f"{len(keys):,} keys of one field, at most {MAX_CATEGORIES:,} are possible")
        return _built(_sorted(keys), min(width, needed))

    @property
    def nbytes(self) -> int:
        """Size of it all."""
        return len(self.data)

    @property
    def bits_a_key(self) -> float:
        """Bits of the whole for each key; 0 where there are none."""
        return 8 * self.nbytes / self.count if self.count else 0.0

    @property
    def false_hit(self) -> float:
        """Chance, at most, that a key which is none of these is taken for one; 0 where that cannot be."""
        return 0.0 if self.check_bits >= exact_bits(self.count) else 2.0**-self.check_bits

    @checked_arguments
    def find(self, keys: AnyArray) -> Int32Array:
        """Return the ids of keys, -1 for those that are none of these, int32 (keys,).

        Args:
            keys: uint64 or int64 (keys,); other whole numbers are read as int64.
        """
        wanted = as_keys(_whole(keys))
        found = np.full(len(wanted), -1, dtype=np.int32)
        for start in range(0, len(wanted) if self.count else 0, _CHUNK_KEYS):
            part = slice(start, start + _CHUNK_KEYS)
            found[part] = self._find(mixed(wanted[part]))
        return found

    def encode(self) -> bytes:
        """Return it as bytes; the same keys and check bits give the same bytes."""
        return self.data.tobytes()

    @classmethod
    @checked_arguments
    def decode(cls, data: UInt8Array) -> HashedKeys:
        """Return the structure that bytes hold, uint8 (bytes,), which are used where they lie.

        Raises:
            ValueError: they are damaged.
        """
        count, width, in_full = np.frombuffer(data[:_HEAD_BYTES].tobytes().ljust(_HEAD_BYTES, b"\0"), "<u8").tolist()
        if count > MAX_CATEGORIES or in_full > count or not 1 <= width <= exact_bits(count):
            raise ValueError(f"{_DAMAGED} are not as many as they can be")
        found = cls(count, width, in_full, data.view(np.ndarray))
        if found._places[-1] != len(data):
            raise ValueError(f"{_DAMAGED} have not the size that they say")
        found._check()
        return found

    @cached_property
    def _places(self) -> tuple[int, int, int, int, int]:
        """Where buckets, checks, keys in full and their ids begin, and where it all ends."""
        checks = _HEAD_BYTES + _filled(2 * self.count)
        in_full = checks + _filled(self.count * self.check_bits)
        ids = in_full + _WORD_BYTES * self.in_full
        return _HEAD_BYTES, checks, in_full, ids, ids + 4 * self.in_full + _TAIL_BYTES

    @cached_property
    def _buckets(self) -> Words:
        return Words(self.data, self._places[0])

    @cached_property
    def _checks(self) -> Words:
        return Words(self.data, self._places[1])

    @cached_property
    def _in_full(self) -> tuple[UInt64Array, Int32Array]:
        """The keys that are kept in full, mixed and sorted, uint64 (keys,), and their ids, int32 (keys,)."""
        _, _, keys, ids, _ = self._places
        return (
            np.frombuffer(self.data[keys:ids].tobytes(), "<u8"),
            np.frombuffer(self.data[ids : ids + 4 * self.in_full].tobytes(), "<i4"),
        )

    @cached_property
    def _starts(self) -> tuple[Int32Array, UInt16Array]:
        """The first key of each 64 blocks, int32 (blocks,), and from there to that of each block, uint16 (blocks,)."""
        blocks = self.count // _BLOCK + 1
        coarse, fine = np.zeros(blocks // _BLOCKS + 1, np.int32), np.zeros(blocks, np.uint16)
        block = 1
        for starts in self._ends_of_blocks():
            numbers = np.arange(block, block + len(starts))
            first = numbers % _BLOCKS == 0
            coarse[numbers[first] // _BLOCKS] = starts[first]
            fine[numbers] = starts - coarse[numbers // _BLOCKS]
            block += len(starts)
        return coarse, fine

    def _ends_of_blocks(self) -> Iterator[Int64Array]:
        """Yield behind which key each block of buckets ends, int64 (blocks,)."""
        for first, zeros in self._zeros():
            buckets = np.arange(first, first + len(zeros))
            last = buckets % _BLOCK == _BLOCK - 1
            yield (zeros - buckets)[last]

    def _zeros(self) -> Iterator[tuple[int, Int64Array]]:
        """Yield buckets and the bits where they end, int64 (buckets,), not too many at a time."""
        start = bucket = 0
        for flags in flags_of(self.data[self._places[0] :], 2 * self.count):
            zeros = np.flatnonzero(~flags)
            yield bucket, zeros + start
            start, bucket = start + len(flags), bucket + len(zeros)

    def _check(self) -> None:
        """Raise ValueError where buckets hold not as many keys as there are, one has too many, or a filling is none."""
        buckets, last = 0, -1
        for bucket, zeros in self._zeros():
            steps = np.diff(zeros, prepend=last)
            if len(zeros) and steps.max() > MOST_IN_A_BUCKET + 1:
                raise ValueError(f"{_DAMAGED} are too many for a bucket")
            buckets, last = bucket + len(zeros), int(zeros[-1]) if len(zeros) else last
        if buckets != self.count or last != 2 * self.count - 1:
            raise ValueError(f"{_DAMAGED} are not as many as they say")
        self._check_filling()
        keys, ids = self._in_full
        if (keys[1:] <= keys[:-1]).any() or (ids[1:] <= ids[:-1]).any() or (ids < 0).any() or (ids >= self.count).any():
            raise ValueError(f"{_DAMAGED} in full are not in their order")

    def _check_filling(self) -> None:
        buckets, checks, in_full, _, end = self._places
        parts = ((buckets, 2 * self.count, checks), (checks, self.count * self.check_bits, in_full))
        for start, bits, stop in parts:
            last = self.data[start + bits // 8 : stop].tolist()
            if last and (last[0] >> bits % 8 or any(last[1:])):
                raise ValueError(f"{_DAMAGED} are not filled up with zeros")
        if self.data[end - _TAIL_BYTES : end].any():
            raise ValueError(f"{_DAMAGED} are not filled up with zeros")

    def _find(self, keys: UInt64Array) -> Int64Array:
        """Return the ids of mixed keys, -1 for unknown ones, int64 (keys,)."""
        slots, sizes = self._slots(keys)
        mask = np.uint64((1 << self.check_bits) - 1)
        found = np.full(len(keys), -1, dtype=np.int64)
        several = np.zeros(len(keys), dtype=np.bool_)
        left = np.flatnonzero(sizes)
        for slot in range(int(sizes.max(initial=0))):
            left = left[sizes[left] > slot] if slot else left
            places = slots[left] + slot
            checks = self._checks.at(places * self.check_bits)
            fits = ((checks ^ keys[left]) & mask) == 0
            rows = left[fits]
            if slot:
                several[rows] |= found[rows] >= 0
            found[rows] = places[fits]
        if several.any():
            found[several] = self._found_in_full(keys[several])
        return found

    def _slots(self, keys: UInt64Array) -> tuple[Int64Array, Int64Array]:
        """Return the first id of each key's bucket and how many it has, int64 (keys,) both."""
        coarse, fine = self._starts
        buckets = buckets_of(keys, self.count)
        blocks = buckets // _BLOCK
        firsts = coarse[blocks // _BLOCKS].astype(np.int64) + fine[blocks]
        wanted = buckets % _BLOCK
        # The block's first bit lies behind all keys and buckets before it.
        bits = firsts + _BLOCK * blocks
        words = self._buckets.at(bits)
        short = np.flatnonzero(WORD_BITS - bit_count(words).astype(np.int64) < wanted)
        while len(short):
            wanted[short] -= WORD_BITS - bit_count(words[short]).astype(np.int64)
            bits[short] += WORD_BITS
            words[short] = self._buckets.at(bits[short])
            short = short[WORD_BITS - bit_count(words[short]).astype(np.int64) < wanted[short]]
        bits += after_zeros(words, wanted)
        return bits - buckets, leading_ones(self._buckets.at(bits))

    def _found_in_full(self, keys: UInt64Array) -> Int64Array:
        """Return the ids of mixed keys that are kept in full, -1 for others, int64 (keys,)."""
        known, ids = self._in_full
        places = np.searchsorted(known, keys)
        hit: BoolArray = np.append(known, np.uint64(0))[places] == keys
        hit &= places < len(known)
        return np.where(hit, np.append(ids, np.int32(-1))[places], -1).astype(np.int64)


@checked_arguments
def key_order(keys: AnyArray) -> Int64Array:
    """Return the order in which keys have ascending ids: ``keys[key_order(keys)]`` have 0, 1, 2, …, int64 (keys,).

    Args:
        keys: uint64 or int64 (keys,), all different.

    Raises:
        UsageError: a key is there twice, or keys are no whole numbers.
    """
    found = mixed(as_keys(_whole(keys)))
    order = np.argsort(found)
    _check_different(found[order])
    return order


def exact_bits(count: int) -> int:
    """Return how many check bits tell all 64-bit keys of a bucket apart where there are so many keys."""
    return WORD_BITS if count < 2 else WORD_BITS + 1 - count.bit_length()


def _built(keys: UInt64Array, width: int) -> HashedKeys:
    """Return the structure of mixed keys that are sorted and different."""
    count = len(keys)
    flags = np.zeros(2 * count, dtype=np.bool_)
    collide: list[Int64Array] = []
    for start in range(0, count, _CHUNK_KEYS):
        # Chunks end where buckets do: the keys of one bucket are looked at together.
        part = slice(start, start + _CHUNK_KEYS + MOST_IN_A_BUCKET + 1)
        buckets = buckets_of(keys[part], count)
        flags[np.arange(start, start + len(buckets)) + buckets] = True
        if (buckets[MOST_IN_A_BUCKET:] == buckets[:-MOST_IN_A_BUCKET]).any():
            raise UsageError("too many of the keys are mixed to the same bits: they were made to be")
        collide.append(start + _alike(buckets, keys[part], width))
    alike = np.unique(np.concatenate([np.empty(0, np.int64), *collide]))
    head = np.array([count, width, len(alike)], dtype="<u8").view(np.uint8)
    parts = [_aligned(np.packbits(flags, bitorder="little")), _aligned(packed_numbers(keys, width))]
    in_full = [keys[alike].astype("<u8").view(np.uint8), alike.astype("<i4").view(np.uint8)]
    data = np.concatenate([head, *parts, *in_full, np.zeros(_TAIL_BYTES, np.uint8)])
    return HashedKeys(count, width, len(alike), data)


def _alike(buckets: Int64Array, keys: UInt64Array, width: int) -> Int64Array:
    """Return which sorted keys share bucket and check with another, int64 (keys,)."""
    checks = keys & np.uint64((1 << width) - 1)
    found: list[Int64Array] = []
    for apart in range(1, min(MOST_IN_A_BUCKET, len(keys) - 1) + 1):
        same = buckets[apart:] == buckets[:-apart]
        if not same.any():
            break
        hits = np.flatnonzero(same & (checks[apart:] == checks[:-apart]))
        found += [hits, hits + apart]
    return np.concatenate([np.empty(0, np.int64), *found])


def _sorted(keys: AnyArray) -> UInt64Array:
    found = np.empty(len(_whole(keys)), dtype=np.uint64)
    for start in range(0, len(keys), _CHUNK_KEYS):  # what is made on the way takes as much as the keys
        part = slice(start, start + _CHUNK_KEYS)
        found[part] = mixed(as_keys(keys[part]))
    found.sort()
    _check_different(found)
    return found


def _check_different(keys: UInt64Array) -> None:
    """Raise UsageError where a key is twice among mixed ones that are sorted."""
    twice = keys[1:] == keys[:-1]
    if twice.any():
        key = int(unmixed(keys[1:][twice][:1])[0])
        raise UsageError(f"key {key} is there twice, expected different ones")


def _whole(keys: AnyArray) -> AnyArray:
    if keys.ndim != 1 or keys.dtype.kind not in "iu":
        raise UsageError(
            f"keys are of type {keys.dtype} and shape {keys.shape}, expected whole numbers, one after the other"
        )
    return keys


def _filled(bits: int) -> int:
    return (bits + 63) // 64 * _WORD_BYTES


def _aligned(stream: UInt8Array) -> UInt8Array:
    return np.concatenate([stream, np.zeros(-len(stream) % _WORD_BYTES, np.uint8)])
