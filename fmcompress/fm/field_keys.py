"""The 64-bit keys of one field with the ids that they stand for, and those of all fields as bytes.

    8 bytes      all ones, which no vocabulary of tokens begins with
    8 bytes      size of the head, little-endian
    the head     JSON: [[name, oov, missing, bytes of the keys, bytes of their ids], …]
    each field   its keys, see ``hashed_keys``, and, where ids are not their ranks, an id for each, see ``packed_ids``

``docs/format.md`` says more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.hashed_keys import CHECK_BITS, CheckBits, HashedKeys, key_order
from fmcompress.fm.packed_ids import PackedIds
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.types import AnyArray, Int32Array

Bytes = bytes | memoryview


@dataclass(frozen=True)
class StoredKeys:
    """What the keys of a field take.

    Attributes:
        field: name of the field.
        keys: number of keys.
        bytes: size of keys and of their ids.
        id_bytes: of these, the ids; 0 where a key's id is its rank.
        bits_a_key: bits for each key.
        false_hit: chance, at most, that a key which is none of these is taken for one.
    """

    field: str
    keys: int
    bytes: int
    id_bytes: int
    bits_a_key: float
    false_hit: float


MARK = b"\xff" * 8
"""What the bytes of keys begin with."""

_SIZE_BYTES = 8
_MAX_HEAD_BYTES = 1 << 23
_DAMAGED = "a vocabulary is damaged: it does not hold the keys that it says"


@checked_arguments
@dataclass(frozen=True, eq=False)
class FieldKeys:
    """The keys of one field, in place of tokens.

    Attributes:
        keys: the keys.
        ids: their category ids in the order of their ranks; None where a key's id is its rank.
        oov: id of a key that is not among them; None where that is an error.
        missing: id of a null; None where it contributes nothing.
    """

    keys: HashedKeys
    ids: PackedIds | None = None
    oov: int | None = None
    missing: int | None = None

    @classmethod
    @checked_arguments
    def of(
        cls,
        keys: AnyArray,
        ids: AnyArray | None = None,
        *,
        oov: int | None = None,
        missing: int | None = None,
        check_bits: CheckBits = CHECK_BITS,
    ) -> FieldKeys:
        """Return the keys of a field.

        Args:
            keys: uint64 or int64 (keys,), all different.
            ids: their category ids, int64 (keys,); without them a key's id is its rank, as ``key_order`` has it. Ids
                that are these ranks cost nothing, others some log2 n bits a key.
            oov: id of a key that is not among them.
            missing: id of a null.
            check_bits: how many bits tell keys apart; see ``HashedKeys.of``.

        Raises:
            UsageError: a key is there twice, keys are no whole numbers, or an id is none.
        """
        found = HashedKeys.of(keys, check_bits)
        packed = None if ids is None else _packed(keys, ids)
        return cls(found, packed, oov, missing)

    @property
    def count(self) -> int:
        """Number of keys."""
        return self.keys.count

    @property
    def nbytes(self) -> int:
        """Size of keys and ids as they are stored."""
        return self.keys.nbytes + (0 if self.ids is None else len(self.ids.data))

    @property
    def extreme_ids(self) -> list[int]:
        """Least and largest id of a key, and the ids of what is no key."""
        own = [] if not self.count else [0, self.count - 1] if self.ids is None else [*self.ids.extremes]
        return own + [number for number in (self.oov, self.missing) if number is not None]

    @checked_arguments
    def find(self, keys: AnyArray) -> Int32Array:
        """Return the category ids of keys, -1 for those that are not among them, int32 (keys,).

        Args:
            keys: uint64 or int64 (keys,).
        """
        ranks = self.keys.find(keys)
        if self.ids is None or not self.count:
            return ranks
        ids = self.ids.at(np.maximum(ranks, 0).astype(np.int64))
        return np.where(ranks < 0, -1, ids).astype(np.int32)


def stored_keys(fields: Mapping[str, FieldKeys]) -> tuple[StoredKeys, ...]:
    """Return what the keys of fields take, in the order of their names."""
    return tuple(
        StoredKeys(
            name,
            own.count,
            own.nbytes,
            own.nbytes - own.keys.nbytes,
            8 * own.nbytes / max(1, own.count),
            own.keys.false_hit,
        )
        for name, own in sorted(fields.items())
    )


def encode_keys(fields: Mapping[str, FieldKeys]) -> list[bytes | memoryview]:
    """Return the keys of fields as pieces of bytes, fields in the order of their names.

    Raises:
        UsageError: there are too many fields.
    """
    ordered = sorted(fields.items())
    sizes = ((name, own, 0 if own.ids is None else len(own.ids.data)) for name, own in ordered)
    head = json.dumps(
        [[name, own.oov, own.missing, own.keys.nbytes, ids] for name, own, ids in sizes], separators=(",", ":")
    )
    described = head.encode()
    if len(described) > _MAX_HEAD_BYTES:
        raise UsageError("the vocabulary has too many fields to be stored")
    pieces: list[bytes | memoryview] = [MARK, len(described).to_bytes(_SIZE_BYTES, "little"), described]
    for _, own in ordered:
        pieces += [own.keys.data.data] if own.ids is None else [own.keys.data.data, own.ids.data.data]
    return pieces


def decode_keys(data: Bytes) -> tuple[dict[str, FieldKeys], memoryview]:
    """Return the keys of fields, which are used where they lie, and the bytes behind them.

    Args:
        data: what ``encode_keys`` made, and anything behind it; what does not begin with ``MARK`` holds no keys.

    Raises:
        ValueError: they are damaged, or claim to hold more than they can.
    """
    rest = memoryview(data)
    if rest[: len(MARK)] != MARK:
        return {}, rest
    start = len(MARK) + _SIZE_BYTES
    size = int.from_bytes(rest[len(MARK) : start], "little")
    if size > min(_MAX_HEAD_BYTES, len(rest)):
        raise ValueError("a vocabulary claims to have more fields than it can")
    lines = _head(rest[start : start + size])
    rest = rest[start + size :]
    found: dict[str, FieldKeys] = {}
    for name, oov, missing, keys_bytes, ids_bytes in lines:
        if name in found or keys_bytes + ids_bytes > len(rest):
            raise ValueError(_DAMAGED)
        own, ids = (np.frombuffer(part, np.uint8) for part in (rest[:keys_bytes], rest[keys_bytes:][:ids_bytes]))
        keys = HashedKeys.decode(own)
        found[name] = FieldKeys(keys, PackedIds.decode(ids, keys.count) if ids_bytes else None, oov, missing)
        rest = rest[keys_bytes + ids_bytes :]
    if not found:
        raise ValueError(_DAMAGED)
    return found, rest


def _head(data: memoryview) -> list[tuple[str, int | None, int | None, int, int]]:
    try:
        return [_line(*line) for line in json.loads(bytes(data))]
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(_DAMAGED) from error


def _line(name: Any, oov: Any, missing: Any, keys: Any, ids: Any) -> tuple[str, int | None, int | None, int, int]:
    numbers = [keys, ids, *(number for number in (oov, missing) if number is not None)]
    if not isinstance(name, str) or not all(type(number) is int and 0 <= number < 2**40 for number in numbers):
        raise TypeError
    return name, oov, missing, keys, ids


def _packed(keys: AnyArray, ids: AnyArray) -> PackedIds | None:
    """Return ids in the order of their keys' ranks; None where they are these ranks."""
    if ids.shape != keys.shape or ids.dtype.kind not in "iu":
        raise UsageError(f"ids are of type {ids.dtype} and shape {ids.shape}, expected one whole number for each key")
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < MAX_CATEGORIES:
        raise UsageError(f"ids are {ids.min()} to {ids.max()}, expected 0 to {MAX_CATEGORIES - 1}")
    ranked = ids[key_order(keys)].astype(np.int64)
    return None if (ranked == np.arange(len(ranked))).all() else PackedIds.of(ranked)
