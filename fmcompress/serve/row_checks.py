"""What rows have to be before they are scored, and what is said of those that are not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.errors import DataError
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, BoolArray, Int64Array

LARGEST_VALUE = float(np.finfo(np.float32).max)


def id_rows(ids: npt.ArrayLike, schema: Schema) -> AnyArray:
    """Return ids as an array, integers of any dtype (rows, ids).

    Raises:
        DataError: they are none.
    """
    rows = _array(ids, "ids")
    count = len(schema.id_cardinalities)
    if rows.ndim != 2 or rows.shape[1] != count or rows.dtype.kind not in "iu":
        raise DataError(f"ids are {rows.dtype} of shape {rows.shape}, expected integers of shape (rows, {count})")
    return rows


def value_rows(values: npt.ArrayLike | None, schema: Schema, rows: int) -> AnyArray | None:
    """Return values as an array of any dtype (rows, numeric fields); None where there are no such fields.

    Raises:
        DataError: they are none.
    """
    names = schema.numeric_names
    if values is None:
        if names:
            raise DataError(f"values are missing, expected those of {len(names)} numeric fields: {names[0]!r}, …")
        return None
    numbers = _array(values, "values")
    if numbers.shape != (rows, len(names)) or numbers.dtype.kind not in "iuf":
        raise DataError(
            f"values are {numbers.dtype} of shape {numbers.shape}, "
            f"expected numbers of shape ({rows}, {len(names)}) for the numeric fields"
        )
    return numbers if names else None


def signed(ids: AnyArray) -> Int64Array:
    """Return ids as int64 of the same shape; those too large for it must not come out as negative ones."""
    if ids.dtype == np.uint64:
        ids = np.minimum(ids, np.uint64(2**63 - 1))
    return ids.astype(np.int64)


def check_ids(ids: Int64Array, wrong: BoolArray, schema: Schema, first_row: int) -> None:
    """Name the first id that is wrong.

    Args:
        ids: int64 (rows, ids).
        wrong: which of them are, bool (rows, ids).
        schema: the fields.
        first_row: number of the first row.

    Raises:
        DataError: one is.
    """
    if wrong.any():
        row, field = map(int, np.argwhere(wrong)[0])
        raise out_of_range(first_row + row, schema, field, int(ids[row, field]))


def out_of_range(row: int, schema: Schema, field: int, category: int) -> DataError:
    """Return what is said of an id of a row that is none of field number ``field``."""
    return DataError(
        f"row {row}, field {schema.id_names[field]!r}: id {category} is out of range, "
        f"expected 0 to {schema.id_cardinalities[field] - 1}"
    )


def check_values(values: AnyArray, schema: Schema, first_row: int) -> None:
    """Name the first value that is infinite or too large.

    Args:
        values: numbers of any dtype, NaN where one is missing (rows, numeric fields).
        schema: the fields.
        first_row: number of the first row.

    Raises:
        DataError: one is.
    """
    wrong = np.abs(values.astype(np.float64)) > LARGEST_VALUE
    if wrong.any():
        row, field = map(int, np.argwhere(wrong)[0])
        raise DataError(
            f"row {first_row + row}, field {schema.numeric_names[field]!r}: value is {values[row, field]}, "
            f"expected a number of at most {LARGEST_VALUE:.4g} in size"
        )


def _array(given: npt.ArrayLike, name: str) -> AnyArray:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} are no array: their rows differ in length") from error
