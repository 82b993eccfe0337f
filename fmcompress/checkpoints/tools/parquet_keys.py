"""The keys of the rows of a Parquet table: which category each is, and what its vocabulary is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmcompress.checkpoints.files.parquet_rows import Batch
from fmcompress.checkpoints.reading_errors import listed, quoted
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import MAX_CATEGORIES
from fmcompress.fm.vocabulary import UNKNOWN
from fmcompress.types import AnyArray, BoolArray, Int64Array, UInt64Array

_SEVERAL = "a category has one row"
_GROWTH = 10
"""Eighths to which the room for keys grows where it is full."""


@dataclass
class FieldRows:
    """The rows of one field, in the order of the files.

    Attributes:
        name: of the field.
        rows: how many there are.
        missing: which one has a null in place of a key; None where none has.
    """

    name: str
    rows: int = 0
    missing: int | None = None
    _numbers: AnyArray | None = None
    _tokens: list[str] = field(default_factory=list)

    def add(self, keys: Any) -> None:
        """Take the keys of the next rows: a column of Arrow, of whole numbers or texts.

        Raises:
            CheckpointError: two rows have a null, or there are too many rows.
        """
        if keys.null_count:
            if keys.null_count > 1 or self.missing is not None:
                raise CheckpointError(f"two rows of field {quoted(self.name)} have null as key", hint=_SEVERAL)
            self.missing = self.rows + int(np.argmax(keys.is_null()))
        self.rows += len(keys)
        if self.rows >= MAX_CATEGORIES:
            raise CheckpointError(f"field {quoted(self.name)} has {self.rows:,} rows, more than it can have")
        kept = keys.drop_null()
        if is_whole(keys.type):
            self._add_numbers(_as_keys(kept.to_numpy(zero_copy_only=False)))
        else:
            self._tokens += kept.to_pylist()

    def _add_numbers(self, numbers: UInt64Array | Int64Array) -> None:
        found = np.empty(0, numbers.dtype) if self._numbers is None else self._numbers
        known = self.rows - (self.missing is not None) - len(numbers)
        if known + len(numbers) > len(found):  # which moves pages, and so takes no memory for both
            found.resize(max(known + len(numbers), _GROWTH * known // 8), refcheck=False)
        found[known : known + len(numbers)] = numbers
        self._numbers = found

    def count(self, rows: int) -> None:
        """Take the next rows of a field without keys."""
        self.rows += rows

    def ids(self) -> FieldIds:
        """Return the category of each row.

        Raises:
            CheckpointError: a key is there twice.
        """
        if self._tokens:
            return _of_tokens(self)
        if self._numbers is not None:
            numbers, self._numbers = self._numbers, None
            return _of_numbers(self, numbers[: self.rows - (self.missing is not None)])
        return FieldIds(self.rows)


@dataclass
class FieldIds:
    """From keys to the categories of a field.

    Attributes:
        cardinality: how many categories it has.
        known: tokens or keys of its data; None where these are the ids themselves.
        are_keys: whether a key is an id.
    """

    cardinality: int
    known: FieldVocabulary | FieldKeys | None = None
    are_keys: bool = False
    _next: int = 0

    def of(self, keys: Any, rows: int) -> Int64Array:
        """Return the categories of the next rows, int64 (rows,).

        Args:
            keys: their keys, a column of Arrow; None where there are none.
            rows: how many there are.

        Raises:
            CheckpointError: they are others than those of before.
        """
        if isinstance(self.known, FieldKeys):
            found = np.full(rows, self.known.missing or 0, np.int64)
            there = np.asarray(keys.is_valid())
            found[there] = self.known.keys.find(_as_keys(keys.drop_null().to_numpy(zero_copy_only=False)))
        elif self.are_keys:
            found = np.asarray(keys.to_numpy(zero_copy_only=False)).astype(np.int64)
        else:
            found = np.arange(self._next, self._next + rows)
            self._next += rows
        if len(found) and not 0 <= found.min() <= found.max() < self.cardinality:
            raise CheckpointError("its keys are not what they were", hint="it was changed while it was read")
        return found


def is_whole(kind: Any) -> bool:
    """Return whether an Arrow type is one of whole numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind))


def by_field(batch: Batch, names: Mapping[str, str]) -> Iterator[tuple[str, Int64Array | slice]]:
    """Yield the fields in a batch, and the rows of each, int64 (rows,), or a slice of all of them.

    Args:
        batch: the rows.
        names: the column of fields under ``field``; without it all rows are of one field, whose name is empty.

    Raises:
        CheckpointError: a row names no field.
    """
    import pyarrow as pa

    if "field" not in names:
        yield "", slice(None)
        return
    column = batch.column(names["field"])
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    for code in np.unique(codes).tolist():
        name = coded.dictionary[code].as_py()
        if not isinstance(name, str):
            raise batch.wrong(names["field"], int(np.argmax(codes == code)), "null")
        yield name, np.flatnonzero(codes == code)


def taken(column: Any, rows: Int64Array | slice) -> Any:
    """Return rows, int64 (rows,) or a slice of all of them, of a column of Arrow."""
    return column if isinstance(rows, slice) else column.take(rows)


def _of_tokens(own: FieldRows) -> FieldIds:
    ids: list[int] = [row for row in range(own.rows) if row != own.missing]
    tokens = own._tokens
    if len(set(tokens)) < len(tokens):
        twice = next(token for token, times in Counter(tokens).items() if times > 1)
        raise CheckpointError(f"field {quoted(own.name)} has key {listed([twice])} twice", hint=_SEVERAL)
    unknown = tokens.index(UNKNOWN) if UNKNOWN in tokens else None
    oov = None if unknown is None else ids[unknown]
    return FieldIds(own.rows, FieldVocabulary(tuple(tokens), np.array(ids, np.int32), oov, own.missing))


def _of_numbers(own: FieldRows, numbers: AnyArray) -> FieldIds:
    count = len(numbers)
    if own.missing is None and numbers.min() == 0 and numbers.max() == count - 1:
        there: BoolArray = np.zeros(count, np.bool_)
        there[numbers] = True
        if there.all():
            return FieldIds(count, are_keys=True)
    try:
        known = FieldKeys.of(_as_keys(numbers), missing=None if own.missing is None else count)
    except UsageError as error:
        raise CheckpointError(f"field {quoted(own.name)}: {error}", hint=_SEVERAL) from error
    return FieldIds(own.rows, known)


def _as_keys(numbers: AnyArray) -> UInt64Array | Int64Array:
    return numbers if numbers.dtype == np.uint64 else numbers.astype(np.int64, copy=False)
