"""From the rows of one table for all fields to ids and values field by field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.data.batch import MISSING
from fmcompress.data.libsvm_lines import Lines
from fmcompress.data.numbers import finite, value_error
from fmcompress.data.options import Oov
from fmcompress.errors import DataError
from fmcompress.fm.schema import Field, NumericField, Schema

Ids = npt.NDArray[np.int32]
Values = npt.NDArray[np.float32]


class FlatReader:
    """Turns pairs of index and value into the ids and values of a schema's fields.

    Attributes:
        skipped: indices out of range that were counted and skipped so far, with ``oov="zero"``.
    """

    def __init__(self, schema: Schema, oov: Oov, first_index: int) -> None:
        """Find where each field begins.

        Args:
            schema: the fields, none of which share a table; they have their rows in the order of ``schema.order``, a
                numeric one a single row.
            oov: what becomes of an index out of range.
            first_index: index of the first row.
        """
        self.skipped = 0
        self._schema = schema
        self._oov = oov
        self._first_index = first_index
        self._fields = [field for field in schema.all_fields if isinstance(field, Field | NumericField)]
        sizes = [field.cardinality if isinstance(field, Field) else 1 for field in self._fields]
        self._starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        self._categorical = np.array([isinstance(field, Field) for field in self._fields])

    def read(self, lines: Lines) -> tuple[Ids, Values]:
        """Return ids, int32 (rows, ids), and values of numeric fields, float32 (rows, numeric fields).

        Raises:
            DataError: an index is out of range, unless ``oov="zero"``; a category has another value than 1; a field
                has two categories or values; a value is not finite.
        """
        places = lines.indices - self._first_index
        kept = self._in_range(lines, places)
        fields = np.searchsorted(self._starts, places, side="right") - 1
        kept &= (lines.values != 0) | ~self._categorical[fields]  # a category times 0 is not there
        self._check_values(lines, fields, kept)
        self._check_once(lines, fields, kept)
        rows, fields = lines.rows[kept], fields[kept]
        ids = np.full((len(lines), len(self._fields)), MISSING, dtype=np.int32)
        ids[rows, fields] = places[kept] - self._starts[fields]
        values = np.zeros(ids.shape, dtype=np.float32)
        values[rows, fields] = lines.values[kept]
        column = {field.name: number for number, field in enumerate(self._fields)}
        found = ids[:, [column[name] for name in self._schema.id_names]]
        found[found == self._schema.pads] = MISSING
        return found, values[:, [column[name] for name in self._schema.numeric_names]]

    def _in_range(self, lines: Lines, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Return which pairs have an index in range; all must, or those that have not are counted."""
        wrong = (places < 0) | (places >= self._schema.flat_rows)
        if wrong.any() and self._oov == "error":
            pair, first = int(np.argmax(wrong)), self._first_index
            raise DataError(
                f"{lines.where(lines.rows[pair])}: index {lines.indices[pair]} is out of range, expected {first} to "
                f"{first + self._schema.flat_rows - 1} for the model's {self._schema.flat_rows:,} rows",
                hint="--first-index says whether indices begin with 0 or 1; --oov zero counts such ones and skips them",
            )
        self.skipped += int(wrong.sum())
        return ~wrong

    def _check_values(self, lines: Lines, fields: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_]) -> None:
        """Raise DataError for a category whose value is not 1, and for a number that is not finite."""
        wrong = kept & np.where(self._categorical[fields], lines.values != 1, ~finite(lines.values))
        if wrong.any():
            pair = int(np.argmax(wrong))
            where, field, value = lines.where(lines.rows[pair]), self._fields[fields[pair]], lines.values[pair]
            if isinstance(field, NumericField):
                raise value_error(where, field.name, f"{value:g}")
            raise DataError(
                f"{where}, field {field.name!r}: index {lines.indices[pair]} has value {value:g}, expected 1",
                hint=f"a field with values is {field.name}:numeric",
            )

    def _check_once(self, lines: Lines, fields: npt.NDArray[np.int64], kept: npt.NDArray[np.bool_]) -> None:
        """Raise DataError for a field that is there twice in a row."""
        cells = lines.rows * len(self._fields) + fields
        taken = np.bincount(cells[kept], minlength=1)
        if taken.max() > 1:
            pair = int(np.argmax(kept & (taken[np.minimum(cells, len(taken) - 1)] > 1)))
            raise DataError(
                f"{lines.where(lines.rows[pair])}, field {self._fields[fields[pair]].name!r}: is there twice",
                hint="in a row at most one category of a field can be active",
            )
