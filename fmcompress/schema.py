"""The fields of a factorization machine and the link from its logit to its prediction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.errors import UsageError

LINKS = ("sigmoid",)
"""Links from logit to prediction: ``sigmoid`` is 1 / (1 + exp(-logit))."""

MAX_CATEGORIES = 2**31 - 1
"""Rows of all fields together; ids are int32 on their way through the data."""

_MAX_DIGITS = 20


@dataclass(frozen=True)
class Field:
    """A categorical field: one of its ``cardinality`` categories is active in a row.

    Attributes:
        name: column of the data that holds the category ids.
        cardinality: number of categories; ids run from 0 to cardinality - 1.
    """

    name: str
    cardinality: int


@dataclass(frozen=True)
class Schema:
    """The fields of a factorization machine, in the order of its rows.

    Row ``offsets[f] + id`` of the model's tables belongs to category ``id`` of field ``f``.

    Raises:
        UsageError: no field, a name twice, empty or not valid Unicode, a cardinality below 1, too many
            categories.
    """

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if not self.fields:
            raise UsageError("a factorization machine needs at least one field")
        seen: set[str] = set()
        for field in self.fields:
            if not field.name:
                raise UsageError("a field has an empty name")
            if not _is_unicode(field.name):
                raise UsageError(f"field name {field.name!r} is not valid Unicode")
            if field.name in seen:
                raise UsageError(f"two fields are named {field.name!r}")
            if field.cardinality < 1:
                raise UsageError(f"field {field.name!r} has {field.cardinality} categories, expected 1 or more")
            seen.add(field.name)
        if self.categories > MAX_CATEGORIES:
            raise UsageError(f"{self.categories:,} categories in all fields, at most {MAX_CATEGORIES:,} are possible")

    @classmethod
    def of(cls, sizes: Iterable[tuple[str, int]]) -> Schema:
        """Return the schema of ``(name, cardinality)`` pairs."""
        return cls(tuple(Field(name, int(cardinality)) for name, cardinality in sizes))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(field.name for field in self.fields)

    @cached_property
    def cardinalities(self) -> npt.NDArray[np.int64]:
        """Cardinality of each field, int64 (fields,)."""
        return np.array([field.cardinality for field in self.fields], dtype=np.int64)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """First row of each field, int64 (fields,)."""
        return np.concatenate(([0], np.cumsum(self.cardinalities)[:-1]))

    @property
    def categories(self) -> int:
        """Number of categories of all fields."""
        # Not the sum of the array: a sum of int64 can overflow.
        return sum(field.cardinality for field in self.fields)

    def rows(self, field: int) -> slice:
        """Return the rows of field number ``field``."""
        start = int(self.offsets[field])
        return slice(start, start + self.fields[field].cardinality)

    def split(self, array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the part of each field of an array, (categories, …)."""
        return [array[self.rows(field)] for field in range(len(self))]

    def union(self, other: Schema) -> Schema:
        """Return this schema with each field as large as in the larger of both; the fields are the same."""
        largest = np.maximum(self.cardinalities, other.cardinalities)
        return Schema.of(zip(self.names, largest.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.fields)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: it cannot be written to any file
        return False
    return True


def parse_fields(text: str) -> Schema:
    """Return the schema that ``name:size,name:size,…`` describes.

    Raises:
        UsageError: a part is not ``name:size``, or the fields make no schema.
    """
    sizes = []
    for part in text.split(","):
        name, colon, size = part.strip().rpartition(":")
        if not colon or not (size.isascii() and size.isdecimal()) or len(size) > _MAX_DIGITS:
            raise UsageError(
                f"field {part.strip()!r} is not name:size",
                hint="write --fields user:6040,movie:3706 and so on",
            )
        sizes.append((name, int(size)))
    return Schema.of(sizes)
