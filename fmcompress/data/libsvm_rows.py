"""Rows in lines of text, ``label index:value …``, as libFM and libsvm take them, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fmcompress.data.batch import Batch, Part, part_of, part_rows
from fmcompress.data.columns import finite, label_error, value_error, wrong_labels
from fmcompress.data.data_files import find_files
from fmcompress.data.libsvm_text import Chunk, Lines, chunks_of, parse_lines
from fmcompress.data.options import Labels, Oov
from fmcompress.errors import DataError
from fmcompress.fm.schema import MISSING, Field, NumericField, Schema
from fmcompress.types import BoolArray, Float32Array, Float64Array, Int32Array, Int64Array

_BATCH_ROWS = 65_536


class LibsvmRows:
    """The rows of one or more files of text, for the fields of a schema.

    Attributes:
        schema: the fields that are read.
        rows: number of rows.
        out_of_range: indices out of range that the last pass counted and skipped, with ``oov="zero"``.
        files: the files, in the order of their rows.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        *,
        labels: Labels | None = "binary",
        oov: Oov = "error",
        first_index: int = 0,
        part: Part = "all",
    ) -> None:
        """Find the rows; they are read later, chunk by chunk.

        Args:
            path: a file, a folder of them, or a glob.
            schema: the fields; indices are the rows of one table of all of them, in their order.
            labels: what labels are, where -1 is 0 too if they are binary; None where they are not wanted.
            oov: what becomes of an index out of range: an error, or the same as a missing value.
            first_index: index of the first row of that table.
            part: which of the rows.

        Raises:
            DataError: no such file, no rows, no text, fields that share a table.
        """
        self.schema = schema
        self.out_of_range = 0
        self._labels = labels
        self._oov = oov
        self._first_index = first_index
        self._part = part
        self._chunks: list[Chunk] = []
        if schema.shared:
            raise DataError(
                f"{path}: its indices do not tell fields {schema.shared[0].name!r} and {schema.shared[0].table!r} "
                f"apart, which share a table",
                hint="give the data as Parquet, with a column for each field",
            )
        files = find_files(path)
        self.files = [str(file) for file in files]
        total = 0
        for file in files:
            for chunk in chunks_of(file, start=total):
                self._chunks.append(chunk)
                total += chunk.rows
        self.rows = part_rows(path, total, part)

    def batches(self, *, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield all rows in batches of up to 65,536.

        Args:
            order: draws the order of the chunks; without it they come as they stand in the files.

        Raises:
            DataError: a line that is none, an index out of range (unless ``oov="zero"``), a label of another kind, a
                category whose value is not 1, two categories of one field.
        """
        self.out_of_range = 0
        reader = FlatReader(self.schema, self._oov, self._first_index)
        chunks = self._chunks if order is None else [self._chunks[i] for i in order.permutation(len(self._chunks))]
        for chunk in chunks:
            lines = parse_lines(chunk.read(), chunk.file, chunk.first_line)
            if len(lines) != chunk.rows:
                raise DataError(f"{chunk.file}: has changed while it was read")
            ids, values = reader.read(lines)
            batch = part_of(Batch(ids, self._labels_of(lines), values), chunk.start, self._part)
            self.out_of_range = reader.skipped
            for first in range(0, len(batch), _BATCH_ROWS):
                yield batch.take(slice(first, first + _BATCH_ROWS))

    def _labels_of(self, lines: Lines) -> Float32Array:
        if self._labels is None:
            return np.full(len(lines), np.nan, dtype=np.float32)
        labels: Float64Array = lines.labels
        if self._labels == "binary":
            labels = np.where(labels == -1, 0, labels)
        wrong = wrong_labels(labels, self._labels)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise label_error(lines.where(row), f"{lines.labels[row]:g}", self._labels)
        return labels.astype(np.float32)


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

    def read(self, lines: Lines) -> tuple[Int32Array, Float32Array]:
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

    def _in_range(self, lines: Lines, places: Int64Array) -> BoolArray:
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

    def _check_values(self, lines: Lines, fields: Int64Array, kept: BoolArray) -> None:
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

    def _check_once(self, lines: Lines, fields: Int64Array, kept: BoolArray) -> None:
        """Raise DataError for a field that is there twice in a row."""
        cells = lines.rows * len(self._fields) + fields
        taken = np.bincount(cells[kept], minlength=1)
        if taken.max() > 1:
            pair = int(np.argmax(kept & (taken[np.minimum(cells, len(taken) - 1)] > 1)))
            raise DataError(
                f"{lines.where(lines.rows[pair])}, field {self._fields[fields[pair]].name!r}: is there twice",
                hint="in a row at most one category of a field can be active",
            )
