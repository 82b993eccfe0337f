"""Numbers from columns: labels, and values of numeric fields."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.errors import DataError
from fmcompress.fm.links import Link

Labels = Literal["binary", "number"]
"""What labels are: 0 and 1, or for a regression any numbers."""

Floats = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]


def labels_for(link: Link) -> Labels:
    """Return what the labels of rows for a model with this link are."""
    return "number" if link.regression else "binary"


def labels_of(column: pa.Array, kind: Labels, file: str, first_row: int) -> Floats:
    """Return labels, float32 (rows,).

    Raises:
        DataError: one is not of this kind.
    """
    values = _wide(column)
    wrong = wrong_labels(values, kind)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise label_error(f"{file}: row {first_row + row}", _shown(column, row), kind)
    return values.astype(np.float32)


def wrong_labels(values: Wide, kind: Labels) -> npt.NDArray[np.bool_]:
    """Return which labels are not of this kind."""
    if kind == "binary":
        return np.asarray((values != 0) & (values != 1))
    return ~finite(values)


def label_error(where: str, shown: str, kind: Labels) -> DataError:
    """Return the error for a label."""
    return DataError(f"{where}: label is {shown}, expected {'0 or 1' if kind == 'binary' else 'a number'}")


def values_of(column: pa.Array, file: str, first_row: int, field: str) -> Floats:
    """Return values of a numeric field, 0 for null, float32 (rows,).

    Raises:
        DataError: one is NaN or infinite, or too large for float32.
    """
    values = _wide(column, null=0.0)
    wrong = ~finite(values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise value_error(f"{file}: row {first_row + row}", field, _shown(column, row))
    return values.astype(np.float32)


def value_error(where: str, field: str, shown: str) -> DataError:
    """Return the error for a value of a numeric field."""
    largest = float(np.finfo(np.float32).max)
    return DataError(
        f"{where}, field {field!r}: value is {shown}, expected a number of at most {largest:.4g} in size",
        hint="leave a missing value null",
    )


def finite(values: Wide) -> npt.NDArray[np.bool_]:
    """Return which numbers are finite, as float32 too."""
    return np.asarray(np.abs(values) <= np.finfo(np.float32).max)


def _wide(column: pa.Array, null: float = math.nan) -> Wide:
    values: Wide = pc.fill_null(pc.cast(column, pa.float64(), safe=False), null).to_numpy(zero_copy_only=False)
    return values


def _shown(column: pa.Array, row: int) -> str:
    value: Any = column[row].as_py()
    return "null" if value is None else str(value)
