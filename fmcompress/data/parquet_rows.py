"""Rows in Parquet files, streamed, as ids, values and labels of the fields of a schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from fmcompress.data.batch import Batch, Part, part_of, part_rows
from fmcompress.data.columns import IdReader, has_tokens, id_error, integers, labels_of, values_of
from fmcompress.data.options import Labels, Match, Oov
from fmcompress.data.parquet_files import (
    Slab,
    candidates,
    check_integer,
    check_label,
    match_columns,
    open_file,
    open_files,
    row_groups,
)
from fmcompress.errors import DataError
from fmcompress.fm.schema import MAX_CATEGORIES, MISSING, Schema
from fmcompress.fm.vocabulary import Vocabulary

# A field of so many categories, and so many for each row, is one of hashes or keys: a model would hold nothing else.
_MANY_CATEGORIES = 50_000_000
_MANY_PER_ROW = 100


class ParquetRows:
    """The rows of one or more Parquet files, for the fields of a schema.

    Attributes:
        schema: the fields that are read.
        rows: number of rows.
        out_of_range: ids out of range and unknown tokens that the last pass counted and skipped, with ``oov="zero"``.
        files: the files, in the order of their rows.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        *,
        label: str | None = "label",
        labels: Labels = "binary",
        match: Match = "name",
        oov: Oov = "error",
        skip: str = "label",
        part: Part = "all",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Open the files and check their columns; rows are read later, batch by batch.

        Args:
            path: a Parquet file, a folder of them, or a glob.
            schema: the fields.
            label: column of the labels; None where labels are not wanted.
            labels: what they are.
            match: whether columns belong to fields by name or, the label left out, by their order.
            oov: what becomes of an id out of range or an unknown token: an error, or the same as a missing value.
            skip: column that is no field where columns are matched by order and labels are not wanted.
            part: which of the rows.
            vocabulary: tokens of the fields that may have columns of strings.

        Raises:
            DataError: no such file, no Parquet, no rows, a column is missing or of the wrong type.
        """
        self.schema = schema
        self.out_of_range = 0
        self.files: list[str] = []
        self._label = label
        self._labels = labels
        self._part = part
        self._vocabulary = vocabulary or Vocabulary()
        self._oov = oov
        self._slabs: list[Slab] = []
        self._columns: list[str] = []
        total = 0
        for file, fragment in open_files(path):
            self._add(file, fragment, total, match, label or skip)
            total += fragment.count_rows()
        self.rows = part_rows(path, total, part)

    def batches(self, *, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield all rows in batches of up to 65,536.

        Args:
            order: draws the order of the row groups; without it they come as they stand in the files.

        Raises:
            DataError: an id out of range or an unknown token (unless ``oov="zero"``), a label or a value that is
                none, a broken file.
        """
        self.out_of_range = 0
        ids = IdReader(self.schema, self._vocabulary, self._oov)
        slabs = self._slabs if order is None else [self._slabs[i] for i in order.permutation(len(self._slabs))]
        columns = [*self._columns, *([self._label] if self._label else [])]
        for slab in slabs:
            for done, table in slab.read(columns):
                every = self._batch(table, ids, slab.file, slab.first_row + done)
                batch = part_of(every, slab.start + done, self._part)
                self.out_of_range = ids.skipped
                if len(batch):
                    yield batch

    def _add(self, file: Path, fragment: ds.ParquetFileFragment, start: int, match: Match, skip: str) -> None:
        """Take up a file, whose first row is number ``start`` of all rows."""
        name, found = str(file), fragment.physical_schema
        columns = match_columns(
            name, found, self.schema, vocabulary=self._vocabulary, label=self._label, match=match, skip=skip
        )
        if self.files and columns != self._columns:
            raise DataError(f"{name}: its columns differ from those of {self.files[0]}")
        self._columns = columns
        self.files.append(name)
        tokens = [column for column in columns if has_tokens(found.field(column).type)]
        self._slabs.extend(row_groups(name, open_file(file, tokens) if tokens else fragment, start=start))

    def _batch(self, table: pa.RecordBatch, ids: IdReader, file: str, first_row: int) -> Batch:
        categorical = len(self.schema.id_names)
        found = ids.read(table.columns[:categorical], file, first_row)
        values = np.empty((len(found), len(self.schema.numeric)), dtype=np.float32)
        for number, name in enumerate(self.schema.numeric_names):
            values[:, number] = values_of(table.column(categorical + number), file, first_row, name)
        if self._label is None:
            return Batch(found, np.full(len(found), np.nan, dtype=np.float32), values)
        return Batch(found, labels_of(table.columns[-1], self._labels, file, first_row), values)


def infer_schema(path: str | Path, *, label: str = "label", names: Sequence[str] | None = None) -> Schema:
    """Return the schema of data without a model: a field per column but the label, one more than its largest id.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        label: column of the labels.
        names: the columns that are fields; None takes all but the label.

    Raises:
        DataError: no such file, no Parquet, no rows, a column that is not of integers, no id in a column, ids
            that are hashes or keys rather than categories.
    """
    largest: dict[str, int] = {}
    columns = None if names is None else list(names)
    rows = 0
    for name_of_file, fragment in open_files(path):
        file, found = str(name_of_file), fragment.physical_schema
        check_label(file, label, found)
        columns = candidates(found, label) if columns is None else columns
        if not columns:
            raise DataError(f"{file}: holds no columns beside {label!r}, expected one for each field")
        for name in columns:
            check_integer(file, name, found)
        for first_row, table in Slab(fragment, file).read(columns):
            rows += table.num_rows
            for name, column in zip(columns, table.columns, strict=True):
                largest[name] = max(largest.get(name, MISSING), _largest_id(file, first_row, name, column))
    if not rows:
        raise DataError(f"{path}: holds no rows")
    for name, value in largest.items():
        if value == MISSING:
            raise DataError(f"{path}: column {name!r} holds no id", hint="leave the column out of the data")
        if value > max(_MANY_CATEGORIES, _MANY_PER_ROW * rows):
            raise DataError(
                f"{path}: column {name!r} has ids up to {value:,} in {rows:,} rows, expected categories 0, 1, 2, …",
                hint="number its categories from 0 on, or give the fields with --fields",
            )
    return Schema.of((name, value + 1) for name, value in largest.items())


def _largest_id(file: str, first_row: int, name: str, column: pa.Array) -> int:
    values = integers(column)
    too_large = values >= MAX_CATEGORIES
    if too_large.any():
        raise DataError(str(id_error(file, first_row, name, column, too_large, MAX_CATEGORIES - 1)))
    return int(values.max(initial=MISSING))
