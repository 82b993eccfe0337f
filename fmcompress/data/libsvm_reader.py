"""Lines of text, ``label index:value …``, as libFM and libsvm take them, read as ids and values of fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.data.columns import finite, label_error, plain_labels, value_error, weight_error, wrong_labels
from fmcompress.data.data_files import DataFile
from fmcompress.data.libsvm_text import Chunk, Lines, chunks_of, parse_lines
from fmcompress.data.options import DataOptions, Labels
from fmcompress.data.stored_files import TEXTS, StoredFile, each_of_shared
from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.schema import MISSING, Field, NumericField, Schema
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array

if TYPE_CHECKING:
    import pyarrow as pa


def open_libsvm(
    path: str | Path, files: Sequence[DataFile], schema: Schema, options: DataOptions, labels: Labels | None
) -> LibsvmReader:
    """Find the rows in files of text; they are read later, chunk by chunk.

    Args:
        path: what the files were found by, for messages.
        files: the files.
        schema: the fields; indices are the rows of one table of all of them, in the order of ``schema.order``, where a
            numeric field has a single row.
        options: index of the first row of that table, and what becomes of an index out of range.
        labels: what labels are, where -1 is 0 too if they are binary; None where they are not wanted.

    Raises:
        DataError: no such file, no text, fields that share a table.
    """
    if schema.shared:
        raise DataError(
            f"{path}: its indices do not tell fields {schema.shared[0].name!r} and {schema.shared[0].table!r} "
            f"apart, which share a table",
            hint="give the data as Parquet, with a column for each field",
        )
    chunks: list[tuple[StoredFile, Chunk]] = []
    starts: list[int] = []
    rows = 0
    stored = [file.stored for file in files]
    for file, own in zip(stored, each_of_shared(chunks_of, stored, min(stored[0].patience, TEXTS)), strict=True):
        chunks += [(file, chunk) for chunk in own]
        starts += [rows + chunk.start for chunk in own]
        rows += sum(chunk.rows for chunk in own)
    return LibsvmReader(schema, options, labels, chunks, stored, starts, rows)


@dataclass
class LibsvmReader:
    """Reads files of text, see ``Reader`` and ``open_libsvm``."""

    schema: Schema
    options: DataOptions
    labels: Labels | None
    chunks: list[tuple[StoredFile, Chunk]]
    files: list[StoredFile]
    starts: list[int]
    rows: int
    skipped: int = 0
    kept: pa.Schema | None = None

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a chunk, in batches.

        Raises:
            DataError: a line that is none, an index out of range (unless ``oov="zero"``), a label of another kind, a
                category whose value is not 1, a value that is not finite, two categories or values of one field; of
            fields that may have several values these are weights, and taken.
        """
        file, found = self.chunks[chunk]
        done = 0
        for first_line, text in found.blocks(file):
            lines = parse_lines(text, str(file), first_line)
            done += len(lines)
            yield self._batch(lines)
        if done != found.rows:
            raise DataError(f"{file}: has changed while it was read")

    def _batch(self, lines: Lines) -> Batch:
        ids, values, bags = self._ids_and_values(lines)
        return Batch(ids, self._labels_of(lines), values, bags=bags)

    @cached_property
    def _fields(self) -> list[Field | NumericField]:
        return [field for field in self.schema.all_fields if isinstance(field, Field | NumericField)]

    @cached_property
    def _categorical(self) -> BoolArray:
        return np.array([isinstance(field, Field) for field in self._fields])

    @cached_property
    def _starts(self) -> Int64Array:
        """First row of each field in the table, int64 (fields,)."""
        sizes = [field.cardinality if isinstance(field, Field) else 1 for field in self._fields]
        return np.concatenate(([0], np.cumsum(sizes)[:-1]))

    @cached_property
    def _several(self) -> BoolArray:
        """Which fields may have several values in a row, bool (fields,)."""
        return np.array([field.name in self.schema.poolings for field in self._fields])

    def _ids_and_values(self, lines: Lines) -> tuple[Int32Array, Float32Array, dict[str, Bag]]:
        places = lines.indices - self.options.first_index
        kept = self._in_range(lines, places)
        fields = np.searchsorted(self._starts, places, side="right") - 1
        kept &= (lines.values != 0) | ~self._categorical[fields]  # a category times 0 is not there
        self._check_values(lines, fields, kept)
        self._check_once(lines, fields, kept)
        bags = self._bags(lines, places, fields, kept)
        kept &= ~self._several[fields]
        rows, fields = lines.rows[kept], fields[kept]
        ids = np.full((len(lines), len(self._fields)), MISSING, dtype=np.int32)
        ids[rows, fields] = places[kept] - self._starts[fields]
        values = np.zeros(ids.shape, dtype=np.float32)
        values[rows, fields] = lines.values[kept]
        column = {field.name: number for number, field in enumerate(self._fields)}
        found = ids[:, [column[name] for name in self.schema.id_names]]
        found[found == self.schema.pads] = MISSING
        return found, values[:, [column[name] for name in self.schema.numeric_names]], bags

    def _bags(self, lines: Lines, places: Int64Array, fields: Int64Array, kept: BoolArray) -> dict[str, Bag]:
        """Return the values of the fields that may have several in a row, with their weights unless all are 1."""
        found = {}
        for number in np.flatnonzero(self._several).tolist():
            field = self._fields[number]
            own = np.flatnonzero(kept & (fields == number))
            ids = (places[own] - self._starts[number]).astype(np.int32)
            if isinstance(field, Field) and field.pad is not None:
                own, ids = own[ids != field.pad], ids[ids != field.pad]
            weights = lines.values[own].astype(np.float32)
            counts = np.bincount(lines.rows[own], minlength=len(lines))
            starts = np.concatenate(([0], np.cumsum(counts)))
            found[field.name] = Bag(starts, ids, None if (weights == 1).all() else weights)
        return found

    def _in_range(self, lines: Lines, places: Int64Array) -> BoolArray:
        """Return which pairs have an index in range, bool (pairs,); all must, or those that have not are counted."""
        wrong = (places < 0) | (places >= self.schema.flat_rows)
        if wrong.any() and self.options.oov == "error":
            pair, first = int(np.argmax(wrong)), self.options.first_index
            raise DataError(
                f"{lines.where(lines.rows[pair])}: index {lines.indices[pair]} is out of range, expected {first} to "
                f"{first + self.schema.flat_rows - 1} for the model's {self.schema.flat_rows:,} rows",
                hint="--first-index says whether indices begin with 0 or 1; --oov zero counts such ones and skips them",
            )
        self.skipped += int(wrong.sum())
        return ~wrong

    def _check_values(self, lines: Lines, fields: Int64Array, kept: BoolArray) -> None:
        """Raise DataError for a category whose value is not 1, and for a number or a weight that is not finite."""
        single = self._categorical[fields] & ~self._several[fields]
        wrong = kept & np.where(single, lines.values != 1, ~finite(lines.values))
        if wrong.any():
            pair = int(np.argmax(wrong))
            where, field, value = lines.where(lines.rows[pair]), self._fields[fields[pair]], lines.values[pair]
            if isinstance(field, NumericField):
                raise value_error(where, field.name, f"{value:g}")
            if field.pooling is not None:
                raise weight_error(where, field.name, f"{value:g}")
            raise DataError(
                f"{where}, field {field.name!r}: index {lines.indices[pair]} has value {value:g}, expected 1",
                hint=f"a field with values is {field.name}:numeric, one of weighted categories {field.name}:SIZE:each",
            )

    def _check_once(self, lines: Lines, fields: Int64Array, kept: BoolArray) -> None:
        """Raise DataError for a field that is there twice in a row, and may not."""
        kept = kept & ~self._several[fields]
        cells = lines.rows * len(self._fields) + fields
        taken = np.bincount(cells[kept], minlength=1)
        if taken.max() > 1:
            pair = int(np.argmax(kept & (taken[np.minimum(cells, len(taken) - 1)] > 1)))
            name = self._fields[fields[pair]].name
            raise DataError(
                f"{lines.where(lines.rows[pair])}, field {name!r}: is there twice, expected one value per field",
                hint=f"{name}:SIZE:each in --fields takes several, each as a term of its own; mean and sum pool them",
            )

    def _labels_of(self, lines: Lines) -> Float32Array:
        if self.labels is None:
            return np.full(len(lines), np.nan, dtype=np.float32)
        labels = plain_labels(lines.labels, self.labels)
        wrong = wrong_labels(labels, self.labels)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise label_error(lines.where(row), f"{lines.labels[row]:g}", self.labels)
        return labels.astype(np.float32)
