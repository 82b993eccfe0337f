"""Columns of lists: the values of fields that may have several in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fmcompress.types import Int64Array


@dataclass(frozen=True)
class Lists:
    """A column of lists, its values one after the other.

    Attributes:
        starts: first value of each row, and their number, int64 (rows + 1,).
        values: of any dtype of Arrow, (values,).
        weights: of any dtype of Arrow, (values,); None where the column has none.
    """

    starts: Int64Array
    values: pa.Array
    weights: pa.Array | None = None

    @property
    def rows(self) -> Int64Array:
        """Row of each value, int64 (values,)."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is one of lists, or of maps from values to their weights."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_map(kind)
    )


def value_types(kind: pa.DataType) -> tuple[pa.DataType, pa.DataType | None]:
    """Return the type of the values of a column, and that of their weights if it has such.

    A column is one of single values, of lists of values, of lists of pairs (value, weight), or of maps from values to
    weights.
    """
    if pa.types.is_map(kind):
        return kind.key_type, kind.item_type
    if not is_list(kind):
        return kind, None
    inner = kind.value_type
    if pa.types.is_struct(inner) and inner.num_fields == 2:
        return inner.field(0).type, inner.field(1).type
    return inner, None


def lists_of(column: pa.Array) -> Lists:
    """Return the values of a column, see ``value_types``, and where each row's start, int64 (rows + 1,).

    A null is a list of none, a single value a list of one.
    """
    if not is_list(column.type):
        return Lists(np.arange(len(column) + 1), column)
    if pa.types.is_map(column.type):
        pairs = pa.struct([("value", column.type.key_type), ("weight", column.type.item_type)])
        column = column.cast(pa.list_(pairs)) if len(column) else pa.array([], pa.list_(pairs))
    counts = pc.fill_null(pc.list_value_length(column).cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    starts = np.concatenate(([0], np.cumsum(counts)))
    values = column.flatten()
    if not pa.types.is_struct(values.type):
        return Lists(starts, values)
    first, second = values.flatten()
    return Lists(starts, first, second)
