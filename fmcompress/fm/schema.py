"""The fields of a factorization machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.pooling import Pooling
from fmcompress.types import AnyArray, Int32Array, Int64Array

MAX_CATEGORIES = 2**31 - 1
"""Rows of all fields together; ids are int32 on their way through the data."""

MISSING = -1
"""Id of a missing value: it contributes nothing to the logit."""


@checked_arguments
@dataclass(frozen=True)
class Field:
    """A categorical field with a table of its own, of ``cardinality`` categories: one is active in a row, or several.

    Attributes:
        name: column of the data that holds the category ids.
        cardinality: number of categories; ids run from 0 to cardinality - 1.
        pad: id that stands for no value, as some tools have it; it contributes nothing, and its row is zeros.
        pooling: what becomes of several values in a row; None where there is one at most.
    """

    name: str
    cardinality: int
    pad: int | None = None
    pooling: Pooling | None = None

    def vector_size(self, dim: int) -> int:
        """Return the size of the field's embeddings in a model with embeddings of size ``dim``."""
        return dim

    @property
    def zero_ids(self) -> tuple[int, ...]:
        """Ids whose vectors are zeros, whatever is stored of them."""
        return () if self.pad is None else (self.pad,)


@checked_arguments
@dataclass(frozen=True)
class VectorField(Field):
    """A table of vectors of a model that is no factorization machine: of a size of their own, without linear weights.

    Attributes:
        name: of the table.
        cardinality: number of vectors.
        pad: not used.
        pooling: not used.
        dim: size l of the vectors.
        zeros: ids of vectors that are zeros to the last bit, rising.
        axes: whether vectors are stored by their coordinates along axes of the table's own.

    Raises:
        UsageError: there is no such id, or they do not rise.
    """

    dim: int = 1
    zeros: tuple[int, ...] = ()
    axes: bool = False

    def __post_init__(self) -> None:
        ids = (-1, *self.zeros, self.cardinality)
        if any(one >= other for one, other in pairwise(ids)):
            raise UsageError(f"zeros of table {self.name!r} are not rising ids below {self.cardinality}")

    def vector_size(self, dim: int) -> int:
        """Return the size of the table's vectors, whatever the model's is."""
        return self.dim

    @property
    def zero_ids(self) -> tuple[int, ...]:
        """Ids whose vectors are zeros, whatever is stored of them."""
        return self.zeros


@checked_arguments
@dataclass(frozen=True)
class SharedField:
    """A categorical field that looks its categories up in the table of another one.

    Attributes:
        name: column of the data that holds the category ids.
        table: name of the field whose table it shares.
        pooling: what becomes of several values in a row; None where there is one at most.
    """

    name: str
    table: str
    pooling: Pooling | None = None


@checked_arguments
@dataclass(frozen=True)
class NumericField:
    """A field with one linear weight and one embedding, both multiplied by its value in the row.

    Attributes:
        name: column of the data that holds the values.
        linear_only: whether it has no embedding, and enters the linear term alone.
    """

    name: str
    linear_only: bool = False


@checked_arguments
@dataclass(frozen=True)
class Schema:
    """The fields of a factorization machine.

    Row ``offsets[f] + id`` of the model's tables belongs to category ``id`` of field ``f``. In a row of data the ids
    stand in the order of ``id_names``: the fields with tables of their own, then those that share one.

    Attributes:
        fields: the fields with tables of their own, in the order of the rows of these.
        shared: the fields that share a table.
        numeric: the numeric fields.
        order: names of all of them in the order in which the model's tool takes them; in the order above where
            nothing else is said.

    Raises:
        UsageError: no field, a name twice, empty or not valid Unicode, a cardinality below 1, too many categories, a
            PAD that is no category, a shared table that does not exist, an order of other fields.
    """

    fields: tuple[Field, ...]
    shared: tuple[SharedField, ...] = ()
    numeric: tuple[NumericField, ...] = ()
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.fields:
            raise UsageError("a factorization machine needs at least one field with categories")
        names = [*self.id_names, *self.numeric_names]
        _check_names(names)
        for field in self.fields:
            if field.cardinality < 1:
                raise UsageError(f"field {field.name!r} has {field.cardinality} categories, expected 1 or more")
            if field.pad is not None and not 0 <= field.pad < field.cardinality:
                raise UsageError(f"field {field.name!r} has PAD {field.pad}, expected 0 to {field.cardinality - 1}")
        if self.categories > MAX_CATEGORIES:
            raise UsageError(f"{self.categories:,} categories in all fields, at most {MAX_CATEGORIES:,} are possible")
        own = set(self.names)
        for sharing in self.shared:
            if sharing.table not in own:
                raise UsageError(f"field {sharing.name!r} shares the table of {sharing.table!r}, which has none")
        if not self.order:
            object.__setattr__(self, "order", tuple(names))
        elif sorted(self.order) != sorted(names):
            raise UsageError("the order of the fields names other fields")
        places = {name: place for place, name in enumerate(self.order)}
        for kind in (self.fields, self.shared, self.numeric):
            own_places = [places[field.name] for field in kind]
            if own_places != sorted(own_places):
                raise UsageError("the order of the fields is not that in which they are listed")

    @classmethod
    @checked_arguments
    def of(cls, sizes: Iterable[tuple[str, int]]) -> Schema:
        """Return the schema of ``(name, cardinality)`` pairs."""
        pairs = list(sizes)
        for pair in pairs:
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise UsageError(f"field {pair!r} is no pair of a name and a size")
        return cls(tuple(Field(name, int(cardinality)) for name, cardinality in pairs))

    @classmethod
    @checked_arguments
    def in_order(cls, fields: Iterable[Field | SharedField | NumericField]) -> Schema:
        """Return the schema of fields of all kinds in the order in which the model's tool takes them."""
        found = tuple(fields)
        for field in found:
            if not isinstance(field, Field | SharedField | NumericField):
                raise UsageError(f"field {field!r} is no Field, SharedField or NumericField")
        return cls(
            tuple(field for field in found if isinstance(field, Field)),
            tuple(field for field in found if isinstance(field, SharedField)),
            tuple(field for field in found if isinstance(field, NumericField)),
            tuple(field.name for field in found),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields with tables of their own."""
        return tuple(field.name for field in self.fields)

    @property
    def id_names(self) -> tuple[str, ...]:
        """Names of all categorical fields, in the order of the ids of a row."""
        return self.names + tuple(field.name for field in self.shared)

    @cached_property
    def poolings(self) -> dict[str, Pooling]:
        """Poolings of the fields that may have several values in a row, by name, in the order of ``id_names``."""
        categorical: tuple[Field | SharedField, ...] = (*self.fields, *self.shared)
        return {field.name: field.pooling for field in categorical if field.pooling is not None}

    @property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric fields, in the order of the values of a row."""
        return tuple(field.name for field in self.numeric)

    @property
    def all_fields(self) -> tuple[Field | SharedField | NumericField, ...]:
        """All fields in the order in which the model's tool takes them: the inverse of ``in_order``."""
        every: tuple[Field | SharedField | NumericField, ...] = (*self.fields, *self.shared, *self.numeric)
        named = {field.name: field for field in every}
        return tuple(named[name] for name in self.order)

    @cached_property
    def cardinalities(self) -> Int64Array:
        """Cardinality of each field, int64 (fields,)."""
        return np.array([field.cardinality for field in self.fields], dtype=np.int64)

    @cached_property
    def offsets(self) -> Int64Array:
        """First row of each field, int64 (fields,)."""
        return np.concatenate(([0], np.cumsum(self.cardinalities)[:-1]))

    @cached_property
    def tables(self) -> Int64Array:
        """Number of the field whose table each id of a row is looked up in, int64 (ids,)."""
        numbers = {name: number for number, name in enumerate(self.names)}
        sharing = [numbers[field.table] for field in self.shared]
        return np.array([*range(len(self.fields)), *sharing], dtype=np.int64)

    @cached_property
    def id_offsets(self) -> Int64Array:
        """First row of the table of each id of a row, int64 (ids,)."""
        return self.offsets[self.tables]

    @cached_property
    def id_cardinalities(self) -> Int64Array:
        """Cardinality of the table of each id of a row, int64 (ids,)."""
        return self.cardinalities[self.tables]

    @cached_property
    def pads(self) -> Int64Array:
        """Id that stands for no value for each id of a row, -1 where there is none, int64 (ids,)."""
        own = np.array([-1 if field.pad is None else field.pad for field in self.fields], dtype=np.int64)
        return own[self.tables]

    @property
    def flat_rows(self) -> int:
        """Rows of one table for all fields, with one row for each numeric field, as many tools have it."""
        return self.categories + len(self.numeric)

    @checked_arguments
    def weights(self, dim: int) -> int:
        """Return how many embeddings' numbers and linear weights a model with embeddings of this size has."""
        embedded = sum(not field.linear_only for field in self.numeric)
        return self.flat_rows + (self.categories + embedded) * dim

    @property
    def categories(self) -> int:
        """Number of categories of all fields."""
        # Not the sum of the array: a sum of int64 can overflow.
        return sum(field.cardinality for field in self.fields)

    @checked_arguments
    def rows(self, field: int) -> slice:
        """Return the rows of field number ``field``."""
        start = int(self.offsets[field])
        return slice(start, start + self.fields[field].cardinality)

    @checked_arguments
    def split(self, array: AnyArray) -> list[AnyArray]:
        """Return an array, (categories, …) of any dtype, field by field: (cardinality, …) each."""
        return [array[self.rows(field)] for field in range(len(self))]

    @checked_arguments
    def union(self, other: Schema) -> Schema:
        """Return this schema with each field as large as in the larger of both; the fields are the same."""
        largest = np.maximum(self.cardinalities, other.cardinalities)
        pooled = [own.pooling or its.pooling for own, its in zip(self.fields, other.fields, strict=True)]
        sizes = zip(self.names, largest.tolist(), pooled, strict=True)
        return Schema(tuple(Field(name, size, pooling=pooling) for name, size, pooling in sizes))

    def without_pads(self) -> Schema:
        """Return the same fields with PAD as a category like any other."""
        return replace(self, fields=tuple(replace(field, pad=None) for field in self.fields))

    def __len__(self) -> int:
        """Return the number of fields with tables of their own."""
        return len(self.fields)


def uses_of(schema: Schema) -> int:
    """Return how many fields look up the same table, at most; 1 where none is shared."""
    return int(np.bincount(schema.tables).max())


def stacked(ids: Int32Array, schema: Schema) -> Int32Array:
    """Return ids of tables, int32 (uses · rows, fields with tables).

    Args:
        ids: category ids, -1 where one is missing, int32 (rows, ids).
        schema: the fields.
    """
    if not schema.shared:
        return ids
    found = np.full((uses_of(schema), len(ids), len(schema)), MISSING, dtype=np.int32)
    found[0] = ids[:, : len(schema)]
    place = np.ones(len(schema), dtype=np.int64)
    for column in range(len(schema), len(schema.tables)):
        table = schema.tables[column]
        found[place[table], :, table] = ids[:, column]
        place[table] += 1
    return found.reshape(-1, len(schema))


def _check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise UsageError("a field has an empty name")
        try:
            name.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair: it cannot be written to any file
            raise UsageError(f"field name {name!r} is not valid Unicode") from error
        if name in seen:
            raise UsageError(f"two fields are named {name!r}")
        seen.add(name)
