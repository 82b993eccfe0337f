"""Tiers: the categories of a field, split by how often they are seen, so that each tier has a quantizer of its own.

An error in a frequent category costs more than one in a rare one, and so do the bits that it is worth. In a
factorization machine a field may be cut into tiers freely: exactly one category of the field is active in a row, in
one of the tiers, and the others are missing. So everything that works on fields works on tiers, each as a field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np

from fmcompress.fm.schema import MISSING, Schema
from fmcompress.types import Int8Array, Int32Array, Int64Array, UInt8Array

T = TypeVar("T")

_BLOCK_ROWS = 2**20

MAX_TIERS = 4
"""Most tiers of a field: the tier of a category takes two bits at most."""


def by_field(of_tiers: Iterable[T], sizes: Sequence[Sequence[int]]) -> Iterator[list[T]]:
    """Yield what belongs to the tiers of each field: a list for each field, of as many things as it has tiers."""
    remaining = iter(of_tiers)
    for own in sizes:
        yield list(islice(remaining, len(own)))


@dataclass(frozen=True, eq=False)
class Tiers:
    """How the categories of each field are split.

    Attributes:
        schema: the fields.
        of: tier of each category, uint8 (categories,); each field uses the numbers from 0 on, without gaps.
    """

    schema: Schema
    of: UInt8Array

    @classmethod
    def none(cls, schema: Schema) -> Tiers:
        """Return one tier for each field."""
        return cls(schema, np.zeros(schema.categories, dtype=np.uint8))

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Categories in each tier of each field."""
        # By blocks: of many categories numpy would make a copy in 64 bits.
        return tuple(tuple(_counts(own)) for own in self.schema.split(self.of))

    @cached_property
    def as_fields(self) -> Schema:
        """The tiers as a schema, field by field, tier by tier; they are named ``field.tier``, in numbers."""
        sizes = ((f"{field}.{tier}", size) for field, own in enumerate(self.sizes) for tier, size in enumerate(own))
        return Schema.of(sizes)

    @cached_property
    def field_of(self) -> Int64Array:
        """Column of the field of each tier, int64 (tiers,)."""
        return np.repeat(np.arange(len(self.schema)), [len(sizes) for sizes in self.sizes])

    @cached_property
    def order(self) -> Int64Array:
        """Row of the schema's tables of each row of the tiers' tables, int64 (categories,); in a tier they rise."""
        field = np.repeat(np.arange(len(self.schema)), self.schema.cardinalities)
        return np.lexsort((self.of, field))

    def ids(self, ids: Int32Array) -> Int32Array:
        """Return ids in the tiers, -1 in all tiers of a field but the one of its category, int32 (rows, tiers).

        Args:
            ids: category ids in the fields, -1 where a value is missing, int32 (rows, fields).
        """
        found = np.full((len(ids), len(self.as_fields)), MISSING, dtype=np.int32)
        first = 0
        for field, sizes in enumerate(self.sizes):
            found[:, first : first + len(sizes)] = self.of_field(field, ids[:, field])
            first += len(sizes)
        return found

    def places(self, fields: Int64Array, ids: Int32Array) -> tuple[Int64Array, Int64Array]:
        """Return the tier of each value, numbered through all fields, and its id in there, int64 (values,) each.

        Args:
            fields: of each value, int64 (values,).
            ids: its category, none of them missing, int32 (values,).
        """
        rows = self.schema.offsets[fields] + ids
        return self._tier_of_rows[rows], self._place_of_rows[rows]

    @cached_property
    def _tier_of_rows(self) -> Int64Array:
        """Tier of each row of the schema's tables, numbered through all fields, int64 (categories,)."""
        first = np.cumsum([0, *map(len, self.sizes)])[:-1]
        return np.asarray(np.repeat(first, self.schema.cardinalities) + self.of)

    @cached_property
    def _place_of_rows(self) -> Int64Array:
        """Place of each row of the schema's tables in its tier, int64 (categories,)."""
        found = np.empty(self.schema.categories, dtype=np.int64)
        starts = self.as_fields.offsets
        found[self.order] = np.arange(len(found)) - np.repeat(starts, self.as_fields.cardinalities)
        return found

    def of_field(self, field: int, ids: Int32Array) -> Int32Array:
        """Return ids in the tiers of one field, -1 in all but one, int32 (rows, tiers), of its ids, int32 (rows,)."""
        sizes = self.sizes[field]
        if len(sizes) == 1:
            return ids[:, None]
        tier, position = (table[ids] for table in self._places[field])
        found = [np.where(tier == number, position, np.int32(MISSING)) for number in range(len(sizes))]
        return np.stack(found, axis=1)

    @cached_property
    def _places(self) -> list[tuple[Int8Array, Int32Array]]:
        """Tier and position in it of each category of each field; the last, which -1 finds, is in no tier."""
        places = []
        for own in self.schema.split(self.of):
            position = np.full(len(own) + 1, MISSING, dtype=np.int32)
            for tier in range(int(own.max()) + 1):
                members = np.flatnonzero(own == tier)
                position[members] = np.arange(len(members))
            places.append((np.append(own, -1).astype(np.int8), position))
        return places


def _counts(of: UInt8Array) -> list[int]:
    """Return how many categories each tier has, of the tier of each, uint8 (cardinality,)."""
    blocks = (of[start : start + _BLOCK_ROWS] for start in range(0, len(of), _BLOCK_ROWS))
    total = np.zeros(MAX_TIERS, dtype=np.int64)
    for block in blocks:
        total += np.bincount(block, minlength=MAX_TIERS)
    found: list[int] = np.trim_zeros(total, "b").tolist()
    return found
