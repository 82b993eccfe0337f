"""Columns of numbers, whatever type they have: integers, floats where pandas wrote them, decimals, booleans, text."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.errors import DataError
from fmcompress.fm.schema import MISSING
from fmcompress.text import shortened
from fmcompress.types import BoolArray, Float64Array, Int32Array, Int64Array

FirstRow = int | Int64Array
"""Row of the file that a column begins with; or, where a row may have several of its numbers, the row of each."""

_LARGEST_ID = 2**63 - 1
# What a float holds beyond this may have been another number before it was rounded.
_EXACT = {"halffloat": 2**11, "float": 2**24}
_SHOWN_CHARACTERS = 60
_BEYOND = 2.0**62
# Arrow reads it as an integer too.
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_WORDS = {"true": 1.0, "false": 0.0}


def integers(column: pa.Array, file: str, first_row: FirstRow, field: str) -> Int32Array | Int64Array:
    """Return ids, int32 or int64 (rows,), null and NaN as missing; one too large for int64 is a large one.

    Args:
        column: of a type that ``holds_numbers``, or of text that is numbers.
        file: where it comes from, for messages.
        first_row: row of the file that it begins with, or that of each number.
        field: name of the field.

    Raises:
        DataError: a number is not whole, or is of a float that cannot hold it exactly.
    """
    column = decoded(column)
    kind = column.type
    if kind == pa.int32() and column.null_count == 0:
        narrow: Int32Array = column.to_numpy()
        return narrow
    if pa.types.is_floating(kind) or is_text(kind):
        return _whole(column, file, first_row, field)
    if kind == pa.uint64():
        column = pc.min_element_wise(column, pa.scalar(_LARGEST_ID, pa.uint64()), skip_nulls=False)
    try:
        found = column.cast(pa.int64())
    except pa.ArrowInvalid:
        found = _of_decimals(column, file, first_row, field)
    values: Int64Array = (pc.fill_null(found, MISSING) if found.null_count else found).to_numpy(zero_copy_only=False)
    return values


def row_of(first_row: FirstRow, place: int) -> int:
    """Return the row of the file that a number of a column is in."""
    return first_row + place if isinstance(first_row, int) else int(first_row[place])


def floats(column: pa.Array, null: float = math.nan) -> Float64Array:
    """Return numbers as float64 (rows,), with ``null`` for null, and NaN for text that is none.

    Args:
        column: of numbers or of strings.
        null: what a null becomes.
    """
    column = decoded(column)
    if is_text(column.type):
        column = _of_text(column)
    values: Float64Array = pc.fill_null(pc.cast(column, pa.float64(), safe=False), null).to_numpy(zero_copy_only=False)
    return values


def decoded(column: pa.Array) -> pa.Array:
    """Return a column of any dtype of Arrow, (rows,), without its dictionary, where it has one."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def holds_numbers(kind: pa.DataType) -> bool:
    """Return whether a type is one of numbers, a dictionary of them, or one of nulls alone."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is one of strings."""
    # By its name: is_string_view is not in all versions of pyarrow.
    return str(kind) in {"string", "large_string", "string_view"}


def _whole(column: pa.Array, file: str, first_row: FirstRow, field: str) -> Int64Array:
    """Return the whole numbers of a column of floats or of text, int64 (rows,)."""
    values = floats(column)
    missing = np.asarray(column.is_null()) if is_text(column.type) else np.isnan(values)
    wrong = ~(missing | ((np.floor(values) == values) & np.isfinite(values)))
    if wrong.any():
        raise _fraction(file, first_row, field, column, wrong)
    exact = _EXACT.get(str(column.type))
    if exact is not None and (np.abs(values) >= exact).any():
        row = int(np.argmax(np.abs(values) >= exact))
        raise DataError(
            f"{file}: row {row_of(first_row, row)}, field {field!r}: id {values[row]:.0f} is of type {column.type}, "
            f"which holds whole numbers exactly below {exact:,} only",
            hint="write the column as integers, missing values as null",
        )
    found: Int64Array = np.where(missing, MISSING, np.clip(values, -_BEYOND, _BEYOND)).astype(np.int64)
    return found


def _of_decimals(column: pa.Array, file: str, first_row: FirstRow, field: str) -> pa.Array:
    """Return the whole numbers of a column whose cast to int64 has failed, one by one, as int64 of Arrow."""
    numbers: list[Any] = column.to_pylist()
    wrong = np.array([number is not None and number != number.to_integral_value() for number in numbers])
    if wrong.any():
        raise _fraction(file, first_row, field, column, wrong)
    largest = int(_BEYOND)
    whole = [None if number is None else max(-largest, min(largest, int(number))) for number in numbers]
    return pa.array(whole, pa.int64())


def _of_text(column: pa.Array) -> pa.Array:
    """Return the numbers of a column of strings, and NaN where one is none, as float64 of Arrow."""
    column = pc.utf8_trim_whitespace(column)
    try:
        return column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        different = column.cast(pa.large_string()).dictionary_encode()
        numbers = [_number(text) for text in different.dictionary.to_pylist()]
        return pa.array(numbers, pa.float64()).take(different.indices)


def _number(text: str) -> float:
    """Return the number that a text is, or 1 and 0 for true and false; NaN for any other."""
    try:
        return float(text) if "_" not in text else math.nan
    except ValueError:
        return _WORDS.get(text.lower(), float(int(text, 16)) if _HEXADECIMAL.fullmatch(text) else math.nan)


def _fraction(file: str, first_row: FirstRow, field: str, column: pa.Array, wrong: BoolArray) -> DataError:
    """Return the error for the first number of a column that is ``wrong``, bool (rows,)."""
    row = int(np.argmax(wrong))
    value = column[row].as_py()
    shown = shortened(repr(value) if isinstance(value, str) else str(value), _SHOWN_CHARACTERS)
    return DataError(
        f"{file}: row {row_of(first_row, row)}, field {field!r}: id is {shown}, expected a whole number, "
        f"or -1, null or NaN for a missing value",
        hint="number its categories from 0 on, or give the model their vocabulary (--vocab FILE)"
        if isinstance(value, str)
        else f"a field of numbers is {field}:numeric",
    )
