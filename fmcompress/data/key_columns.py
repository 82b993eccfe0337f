"""Columns of 64-bit keys: integers of any type, or text that is whole numbers."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.data.numbers import FirstRow, decoded, floats, is_text, row_of
from fmcompress.errors import DataError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.schema import MISSING
from fmcompress.text import shortened
from fmcompress.types import BoolArray, Int64Array, UInt64Array

UNKNOWN = MISSING - 1
"""Id of an unknown key or token that has none."""

_SHOWN_CHARACTERS = 60
# What a float holds from here on may have been another number before it was rounded.
_EXACT = {"halffloat": 2**11, "float": 2**24, "double": 2**53}
_WHOLE = re.compile(r"[+-]?[0-9]+|0[xX][0-9a-fA-F]{1,16}")


class KeyIds:
    """Turns columns of keys into the ids of a vocabulary."""

    def __init__(self, vocabulary: FieldKeys) -> None:
        self._missing = MISSING if vocabulary.missing is None else vocabulary.missing
        self._unknown = UNKNOWN if vocabulary.oov is None else vocabulary.oov
        self._vocabulary = vocabulary

    def takes(self, kind: pa.DataType) -> bool:
        """Return whether a column of a type is one of keys; all are."""
        return True

    def of(self, column: pa.Array, file: str, first_row: FirstRow, field: str) -> Int64Array:
        """Return the ids of keys, -2 for an unknown one that has no id, int64 (rows,).

        Args:
            column: of integers, or of text that is whole numbers.
            file: where it comes from, for messages.
            first_row: row of the file that it begins with, or that of each key.
            field: name of the field.

        Raises:
            DataError: one is no whole number of 64 bits, or is of a float that cannot hold it exactly.
        """
        keys, missing = keys_of(column, file, first_row, field)
        ids = self._vocabulary.find(keys).astype(np.int64)
        return np.where(missing, self._missing, np.where(ids < 0, self._unknown, ids))


def keys_of(column: pa.Array, file: str, first_row: FirstRow, field: str) -> tuple[UInt64Array, BoolArray]:
    """Return the keys of a column, uint64 (rows,), and which rows have none, bool (rows,).

    Args:
        column: of integers, negative ones as two's complement, or of text that is whole numbers.
        file: where it comes from, for messages.
        first_row: row of the file that it begins with, or that of each key.
        field: name of the field.

    Raises:
        DataError: one is no whole number of 64 bits, or is of a float that cannot hold it exactly.
    """
    column = decoded(column)
    missing = np.asarray(column.is_null())
    if is_text(column.type):
        keys, wrong = _of_text(column)
    elif pa.types.is_floating(column.type):
        keys, wrong = _of_floats(column)
        missing |= np.isnan(floats(column))
    elif pa.types.is_decimal(column.type):
        keys, wrong = _of_text(column.cast(pa.string()))
    else:
        kind = pa.uint64() if column.type == pa.uint64() else pa.int64()
        whole = pc.fill_null(column.cast(kind), 0).to_numpy(zero_copy_only=False)
        return whole.view(np.uint64), missing
    wrong &= ~missing
    if wrong.any():
        raise _error(file, first_row, field, column, wrong)
    return keys, missing


def key_error(file: str, first_row: FirstRow, field: str, column: pa.Array, wrong: BoolArray) -> DataError:
    """Return the error for the first unknown key of a column, those that are ``wrong``, bool (rows,)."""
    row = int(np.argmax(wrong))
    return DataError(
        f"{file}: row {row_of(first_row, row)}, field {field!r}: key {_shown(column, row)} is none of the vocabulary",
        hint="--oov zero counts such keys and skips them",
    )


def _of_floats(column: pa.Array) -> tuple[UInt64Array, BoolArray]:
    """Return floats as keys, uint64 (rows,), and which are none that are held exactly, bool (rows,)."""
    values = floats(column)
    fits = (np.floor(values) == values) & (np.abs(values) < _EXACT[str(column.type)])
    return np.where(fits, values, 0).astype(np.int64).view(np.uint64), ~fits


def _of_text(column: pa.Array) -> tuple[UInt64Array, BoolArray]:
    """Return texts as keys, uint64 (rows,), and which are none, bool (rows,)."""
    wrong = np.zeros(len(column), dtype=np.bool_)
    for kind in (pa.int64(), pa.uint64()):
        try:
            found = pc.fill_null(column.cast(kind), 0)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
        return found.to_numpy(zero_copy_only=False).view(np.uint64), wrong
    keys = np.zeros(len(column), dtype=np.uint64)
    for row, text in enumerate(column.to_pylist()):
        number = None if text is None else _number(text)
        wrong[row] = number is None
        keys[row] = (number or 0) % 2**64
    return keys, wrong


def _number(text: str) -> int | None:
    """Return the number of 64 bits, signed or not, that a text is; None for any other."""
    text = text.strip()
    if not _WHOLE.fullmatch(text) or len(text) > _SHOWN_CHARACTERS:
        return None
    number = int(text, 0 if text[:2] in ("0x", "0X") else 10)
    return number if -(2**63) <= number < 2**64 else None


def _error(file: str, first_row: FirstRow, field: str, column: pa.Array, wrong: BoolArray) -> DataError:
    row = int(np.argmax(wrong))
    where = f"{file}: row {row_of(first_row, row)}, field {field!r}: key is {_shown(column, row)}"
    if pa.types.is_floating(column.type):
        limit = _EXACT[str(column.type)]
        return DataError(
            f"{where} of type {column.type}, which holds whole numbers exactly below {limit:,} only",
            hint="write the column as integers, missing values as null",
        )
    return DataError(f"{where}, expected a whole number of 64 bits, or null for a missing value")


def _shown(column: pa.Array, row: int) -> str:
    value = column[row].as_py()
    return shortened(repr(value) if isinstance(value, str) else str(value), _SHOWN_CHARACTERS)
