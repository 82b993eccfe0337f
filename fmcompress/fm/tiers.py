"""Tiers: the categories of a field, split by how often they are seen, so that each part has a quantizer of its own.

An error in a frequent category costs more than one in a rare one, and so do the bits that it is worth. In a
factorization machine a field may be cut into parts freely: exactly one category of the field is active in a row, in
one of the parts, and the others are missing. So everything that works on fields works on parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fmcompress.fm.schema import Schema

T = TypeVar("T")

MAX_TIERS = 4
"""Most tiers of a field: the tier of a category takes two bits at most."""


def parts_of(sizes: Sequence[Sequence[int]]) -> Schema:
    """Return the parts of fields as a schema: field by field, tier by tier; they are named ``field.tier``, in numbers.

    Args:
        sizes: categories in each tier of each field.
    """
    return Schema.of((f"{field}.{tier}", size) for field, own in enumerate(sizes) for tier, size in enumerate(own))


def by_field(parts: Iterable[T], sizes: Sequence[Sequence[int]]) -> Iterator[list[T]]:
    """Yield what belongs to the parts of each field: a list for each field, of as many things as it has tiers."""
    remaining = iter(parts)
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
    of: npt.NDArray[np.uint8]

    @classmethod
    def none(cls, schema: Schema) -> Tiers:
        """Return one tier for each field."""
        return cls(schema, np.zeros(schema.categories, dtype=np.uint8))

    @cached_property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        """Categories in each tier of each field."""
        return tuple(tuple(np.bincount(part).tolist()) for part in self.schema.split(self.of))

    @cached_property
    def parts(self) -> Schema:
        """The parts as a schema, see ``parts_of``."""
        return parts_of(self.sizes)

    @cached_property
    def field_of(self) -> npt.NDArray[np.int64]:
        """Column of the field of each part, int64 (parts,)."""
        return np.repeat(np.arange(len(self.schema)), [len(sizes) for sizes in self.sizes])

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """Row of the schema's tables of each row of the parts' tables, int64 (categories,); in a part they rise."""
        field = np.repeat(np.arange(len(self.schema)), self.schema.cardinalities)
        return np.lexsort((self.of, field))

    def ids(self, ids: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Return ids in the parts, -1 in all parts of a field but the one of its category, int32 (rows, parts).

        Args:
            ids: category ids in the fields, -1 where a value is missing, int32 (rows, fields).
        """
        found = np.full((len(ids), len(self.parts)), -1, dtype=np.int32)
        part = 0
        for field, sizes in enumerate(self.sizes):
            own = ids[:, field]
            if len(sizes) == 1:
                found[:, part] = own
            else:
                tier, position = (table[own] for table in self._places[field])
                for number in range(len(sizes)):
                    found[:, part + number] = np.where(tier == number, position, -1)
            part += len(sizes)
        return found

    @cached_property
    def _places(self) -> list[tuple[npt.NDArray[np.int8], npt.NDArray[np.int32]]]:
        """Tier and position in it of each category of each field; the last, which -1 finds, is in no tier."""
        places = []
        for part in self.schema.split(self.of):
            position = np.full(len(part) + 1, -1, dtype=np.int32)
            for tier in range(int(part.max()) + 1):
                own = np.flatnonzero(part == tier)
                position[own] = np.arange(len(own))
            places.append((np.append(part, -1).astype(np.int8), position))
        return places
