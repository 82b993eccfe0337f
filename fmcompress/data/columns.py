"""Columns of a Parquet file: matched to fields, checked, turned into ids and labels."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.data.batch import MISSING
from fmcompress.errors import DataError
from fmcompress.schema import Schema

Match = Literal["name", "order"]

_LARGEST_ID = 2**63 - 1
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_SHOWN_COLUMNS = 12


def match_columns(
    file: str, found: pa.Schema, schema: Schema, *, label: str | None, match: Match, skip: str
) -> list[str]:
    """Return the column of each field.

    Args:
        file: name of the file, for messages.
        found: columns of the file.
        schema: the fields.
        label: column of the labels; None where labels are not wanted.
        match: whether columns belong to fields by name or, ``skip`` left out, by their order.
        skip: column that is no field.

    Raises:
        DataError: a column is missing, there twice, or of the wrong type.
    """
    if label is not None:
        check_label(file, label, found)
    columns = list(schema.names) if match == "name" else candidates(found, skip)
    if len(columns) != len(schema):
        raise DataError(
            f"{file}: has {len(columns)} columns beside the label, expected one for each of {len(schema)} fields",
            hint="name the column of the labels with --label" if skip not in found.names else None,
        )
    if label in columns:
        raise DataError(f"{file}: column {label!r} holds the labels and is a field too", hint="choose another --label")
    for name in columns:
        check_integer(file, name, found, hint="--match order takes the columns as they stand")
    return columns


def candidates(found: pa.Schema, label: str) -> list[str]:
    """Return the columns that can be fields: all but the label and an index that pandas wrote."""
    return [name for name in found.names if name != label and not _PANDAS_INDEX.fullmatch(name)]


def check_label(file: str, label: str, found: pa.Schema) -> None:
    """Raise DataError where the label column is missing, there twice, or can hold no numbers."""
    if label not in found.names:
        raise _missing_column(file, f"label column {label!r}", found, "name it with --label")
    _check_single(file, label, found)
    kind = found.field(label).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{file}: label column {label!r} is of type {kind}, expected numbers 0 and 1")


def check_integer(file: str, name: str, found: pa.Schema, *, hint: str | None = None) -> None:
    """Raise DataError where a field's column is missing, which ``hint`` is for, there twice, or not of integers."""
    if name not in found.names:
        raise _missing_column(file, f"column of field {name!r}", found, hint)
    _check_single(file, name, found)
    kind = found.field(name).type
    if not pa.types.is_integer(kind):
        raise DataError(
            f"{file}: column {name!r} is of type {kind}, expected integers (category ids)",
            hint="cast it to integers, missing values to null"
            if pa.types.is_floating(kind)
            else "number its categories from 0 on",
        )


def integers(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return ids, null as missing; ids of uint64 beyond int64 become its largest number."""
    if column.type == pa.uint64():
        column = pc.min_element_wise(column, pa.scalar(_LARGEST_ID, pa.uint64()), skip_nulls=False)
    values: npt.NDArray[np.int64] = pc.fill_null(column.cast(pa.int64()), MISSING).to_numpy(zero_copy_only=False)
    return values


def id_error(
    file: str, first_row: int, field: str, column: pa.Array, wrong: npt.NDArray[np.bool_], *, largest: int
) -> DataError:
    """Return the error for the first wrong id of a column, whose rows begin at ``first_row`` of the file."""
    row = int(np.argmax(wrong))
    return DataError(
        f"{file}: row {first_row + row}, field {field!r}: id {column[row]} is out of range, expected 0 to {largest}, "
        f"or -1 or null for a missing value"
    )


def labels_of(column: pa.Array, file: str, first_row: int) -> npt.NDArray[np.float32]:
    """Return labels, float32 (rows,).

    Raises:
        DataError: one is neither 0 nor 1.
    """
    values: npt.NDArray[Any] = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        shown = column[row].as_py()
        raise DataError(
            f"{file}: row {first_row + row}: label is {'null' if shown is None else shown}, expected 0 or 1"
        )
    return values.astype(np.float32)


def _check_single(file: str, name: str, found: pa.Schema) -> None:
    if found.names.count(name) > 1:
        raise DataError(f"{file}: two columns are named {name!r}")


def _missing_column(file: str, what: str, found: pa.Schema, hint: str | None) -> DataError:
    more = ", …" if len(found.names) > _SHOWN_COLUMNS else ""
    return DataError(f"{file}: {what} is missing, found {', '.join(found.names[:_SHOWN_COLUMNS])}{more}", hint=hint)
