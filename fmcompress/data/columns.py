"""What columns hold: category ids, whether integers or tokens that a vocabulary knows, numeric values, and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.data.key_columns import UNKNOWN, KeyIds, key_error
from fmcompress.data.list_columns import lists_of
from fmcompress.data.numbers import FirstRow, floats, integers, row_of
from fmcompress.data.options import Labels, Oov
from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import MISSING, Schema
from fmcompress.text import shortened
from fmcompress.types import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array

_SHOWN_CHARACTERS = 60
# The rows of a block stay in the cache while their columns are put side by side.
_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class FoundIds:
    """What columns hold of the categorical fields.

    Attributes:
        ids: ``MISSING`` for null, for PAD, and for all of a field in ``bags``, int32 (rows, ids).
        bags: values of the fields that may have several in a row, by name.
        skipped: ids out of range and unknown tokens that were counted and skipped.
    """

    ids: Int32Array
    bags: dict[str, Bag]
    skipped: int


def ids_of(
    columns: Sequence[pa.Array], schema: Schema, tokens: Mapping[str, Lookup], oov: Oov, file: str, first_row: int
) -> FoundIds:
    """Return the ids that columns hold, int32 (rows, ids) and those of bags.

    Args:
        columns: one for each of ``Schema.id_names``; lists where a field may have several values in a row.
        schema: the fields.
        tokens: ids of the tokens or of the keys of fields that have a vocabulary, by name.
        oov: what becomes of an id out of range, and of a token or a key that the vocabulary has no id for.
        file: where they come from, for messages.
        first_row: row of the file that they begin with.

    Raises:
        DataError: an id is out of range, or a token or a key unknown, unless ``oov="zero"``; an id or a key is no whole
            number; a weight is not finite; text is not UTF-8.
    """
    checked: list[Int32Array | Int64Array] = []
    bags: dict[str, Bag] = {}
    skipped = 0
    sizes, pads = schema.id_cardinalities.tolist(), schema.pads.tolist()
    for name, size, pad, column in zip(schema.id_names, sizes, pads, columns, strict=True):
        lists = lists_of(column) if name in schema.poolings else None
        rows: FirstRow = first_row if lists is None else first_row + lists.rows
        ids, wrong = _checked(column if lists is None else lists.values, name, size, tokens.get(name), oov, file, rows)
        skipped += wrong
        if lists is not None:
            weights = None if lists.weights is None else weights_of(lists.weights, file, rows, name)
            bag = Bag(lists.starts, ids.astype(np.int32, copy=False), weights)
            absent = (ids == MISSING) | (ids == pad)
            bags[name] = bag.without(absent) if absent.any() else bag
            ids = np.full(len(column), MISSING, dtype=np.int32)
        checked.append(ids)
    found = _row_by_row(checked)
    if (schema.pads >= 0).any():
        found[found == schema.pads] = MISSING
    return FoundIds(found, bags, skipped)


def _checked(
    column: pa.Array, name: str, size: int, tokens: Lookup | None, oov: Oov, file: str, first_row: FirstRow
) -> tuple[Int32Array | Int64Array, int]:
    """Return the ids of a field's values, int32 or int64 (values,), and how many were counted and skipped."""
    try:
        known = tokens is not None and tokens.takes(column.type)
        find = tokens.of if tokens is not None and known else integers
        ids = find(column, file, first_row, name)
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: field {name!r} has text that is not UTF-8") from error
    if ids.min(initial=0) >= MISSING and ids.max(initial=0) < size:
        return ids, 0
    wrong = (ids < MISSING) | (ids >= size)
    if oov == "error":
        if isinstance(tokens, KeyIds):
            raise key_error(file, first_row, name, column, wrong)
        raise id_error(file, first_row, name, column, wrong, size - 1)
    return np.where(wrong, MISSING, ids), int(wrong.sum())


def _row_by_row(columns: Sequence[Int32Array | Int64Array]) -> Int32Array:
    """Return columns of ids, (rows,) each, side by side, int32 (rows, columns)."""
    found = np.empty((len(columns[0]), len(columns)), dtype=np.int32)
    for start in range(0, len(found), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        for number, ids in enumerate(columns):
            found[block, number] = ids[block]
    return found


class TokenIds:
    """Turns columns of strings into the ids of a vocabulary."""

    def __init__(self, vocabulary: FieldVocabulary) -> None:
        self._missing = MISSING if vocabulary.missing is None else vocabulary.missing
        self._unknown = UNKNOWN if vocabulary.oov is None else vocabulary.oov
        self._vocabulary = vocabulary
        self._last: tuple[pa.Array, tuple[int, ...], Int64Array] | None = None

    def takes(self, kind: pa.DataType) -> bool:
        """Return whether a column of a type is one of tokens; any other is one of ids."""
        return has_tokens(kind) or bool(pa.types.is_null(kind))

    def of(self, column: pa.Array, file: str, first_row: FirstRow, field: str) -> Int64Array:
        """Return the ids of tokens, -2 for an unknown one that has no id, int64 (rows,).

        Args:
            column: of strings, or of nulls alone.
            file: not used, as are the row and the field.
            first_row: not used.
            field: not used.
        """
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.large_string()).dictionary_encode()
        ids = self._of_dictionary(column.dictionary)
        places = pc.fill_null(column.indices.cast(pa.int64()), len(ids) - 1)
        found: Int64Array = ids[places.to_numpy(zero_copy_only=False)]
        return found

    def _of_dictionary(self, tokens: pa.Array) -> Int64Array:
        """Return the ids of different tokens, and behind them that of a null.

        The batches of a row group share one dictionary: it is looked up once.
        """
        place = (len(tokens), tokens.offset, *(buffer.address for buffer in tokens.buffers() if buffer is not None))
        if self._last is None or self._last[1] != place:
            known, unknown = self._vocabulary.known, self._unknown
            ids = [self._missing if token is None else known.get(token, unknown) for token in tokens.to_pylist()]
            # The tokens are kept too, lest others take their place in memory.
            self._last = tokens, place, np.array([*ids, self._missing], dtype=np.int64)
        return self._last[2]


Lookup = TokenIds | KeyIds
"""Where the ids of a field with a vocabulary are looked up."""


def id_error(file: str, first_row: FirstRow, field: str, column: pa.Array, wrong: BoolArray, largest: int) -> DataError:
    """Return the error for the first id or token of a column that is ``wrong``, bool (rows,)."""
    row = int(np.argmax(wrong))
    where = f"{file}: row {row_of(first_row, row)}, field {field!r}"
    if not has_tokens(column.type):
        return DataError(
            f"{where}: id {column[row]} is out of range, expected 0 to {largest}, or -1 or null for a missing value",
            hint="--oov zero counts such ids and skips them",
        )
    token = str(column[row].as_py())
    shown = token if len(token) <= _SHOWN_CHARACTERS else f"{token[:_SHOWN_CHARACTERS]}…"
    return DataError(
        f"{where}: token {shown!r} is none of the vocabulary", hint="--oov zero counts such tokens and skips them"
    )


def has_tokens(kind: pa.DataType) -> bool:
    """Return whether a type is one of strings, or of a dictionary of strings."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # By its name: is_string_view is not in all versions of pyarrow.
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def labels_of(column: pa.Array, kind: Labels, file: str, first_row: int) -> Float32Array:
    """Return labels, float32 (rows,); where they are binary, -1 is 0 too.

    Args:
        column: numbers, booleans, or text that is one of these.
        kind: what labels are.
        file: where they come from, for messages.
        first_row: row of the file that they begin with.

    Raises:
        DataError: one is not of this kind.
    """
    values = plain_labels(floats(column), kind)
    wrong = wrong_labels(values, kind)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise label_error(f"{file}: row {first_row + row}", _shown(column, row), kind)
    return values.astype(np.float32)


def plain_labels(values: Float64Array, kind: Labels) -> Float64Array:
    """Return labels, float64 (rows,), with 0 for the -1 of binary ones."""
    return np.where(values == -1, 0, values) if kind == "binary" else values


def wrong_labels(values: Float64Array, kind: Labels) -> BoolArray:
    """Return which labels, float64 (rows,), are not of this kind, bool (rows,)."""
    if kind == "binary":
        return np.asarray((values != 0) & (values != 1))
    return ~finite(values)


def label_error(where: str, shown: str, kind: Labels) -> DataError:
    """Return the error for a label."""
    return DataError(f"{where}: label is {shown}, expected {'0 or 1' if kind == 'binary' else 'a number'}")


def values_of(column: pa.Array, file: str, first_row: int, field: str) -> Float32Array:
    """Return values of a numeric field, 0 for null, float32 (rows,).

    Raises:
        DataError: one is NaN or infinite, or too large for float32.
    """
    values = floats(column, null=0.0)
    wrong = ~finite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise value_error(f"{file}: row {first_row + row}", field, _shown(column, row))
    return values.astype(np.float32)


def weights_of(column: pa.Array, file: str, first_row: FirstRow, field: str) -> Float32Array:
    """Return the weights of a field's values, float32 (values,).

    Raises:
        DataError: one is null, NaN or infinite, or too large for float32.
    """
    weights = floats(column)
    wrong = ~finite(weights)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise weight_error(f"{file}: row {row_of(first_row, place)}", field, _shown(column, place))
    return weights.astype(np.float32)


def weight_error(where: str, field: str, shown: str) -> DataError:
    """Return the error for the weight of a value."""
    largest = float(np.finfo(np.float32).max)
    return DataError(f"{where}, field {field!r}: weight is {shown}, expected a number of at most {largest:.4g} in size")


def value_error(where: str, field: str, shown: str) -> DataError:
    """Return the error for a value of a numeric field."""
    largest = float(np.finfo(np.float32).max)
    return DataError(
        f"{where}, field {field!r}: value is {shown}, expected a number of at most {largest:.4g} in size",
        hint="leave a missing value null",
    )


def finite(values: Float64Array) -> BoolArray:
    """Return which numbers, float64 (n,), are finite, as float32 too, bool (n,)."""
    return np.asarray(np.abs(values) <= np.finfo(np.float32).max)


def _shown(column: pa.Array, row: int) -> str:
    value: Any = column[row].as_py()
    shown = "null" if value is None else repr(value) if isinstance(value, str) else str(value)
    return shortened(shown, _SHOWN_CHARACTERS)
