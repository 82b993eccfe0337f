"""Parquet files, read as ids, values and labels of the fields of a schema; and the schema of files without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fmcompress.data.batch import Batch
from fmcompress.data.columns import TokenIds, has_tokens, id_error, ids_of, labels_of, values_of
from fmcompress.data.data_files import find_files
from fmcompress.data.list_columns import is_list, lists_of
from fmcompress.data.numbers import integers
from fmcompress.data.options import DataOptions, Labels, Oov
from fmcompress.data.parquet_files import (
    RowGroup,
    candidates,
    check_integer,
    check_label,
    kept_columns,
    match_columns,
    open_file,
    row_groups,
)
from fmcompress.errors import DataError
from fmcompress.fm.pooling import MEAN, Pooling
from fmcompress.fm.schema import MAX_CATEGORIES, MISSING, Field, Schema
from fmcompress.fm.vocabulary import Vocabulary

# A field of so many categories, and so many for each row, is one of hashes or keys: a model would hold nothing else.
_MANY_CATEGORIES = 50_000_000
_MANY_PER_ROW = 100


def open_parquet(
    path: str | Path,
    schema: Schema,
    options: DataOptions,
    labels: Labels | None,
    vocabulary: Vocabulary,
    keep: Sequence[str] = (),
) -> ParquetReader:
    """Open Parquet files and check their columns; rows are read later, row group by row group.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        schema: the fields.
        options: the column of the labels, and how columns and ids are read.
        labels: what labels are; None where they are not wanted.
        vocabulary: tokens of the fields that may have columns of strings.
        keep: columns that are carried along.

    Raises:
        DataError: no such file, no Parquet, a column is missing or of the wrong type.
    """
    files: list[str] = []
    kept: pa.Schema | None = None
    columns: list[str] = []
    groups: list[RowGroup] = []
    rows = 0
    for opened in find_files(path):
        file, fragment = str(opened), open_file(opened)
        found = fragment.physical_schema
        matched = match_columns(file, found, schema, options, vocabulary, labelled=labels is not None)
        if files and matched != columns:
            raise DataError(f"{file}: its columns differ from those of {files[0]}")
        columns = matched
        own = kept_columns(file, found, keep)
        if kept is not None and own != kept:
            raise DataError(f"{file}: the columns to keep are of other types than in {files[0]}")
        kept = own
        files.append(file)
        tokens = [column for column in columns if has_tokens(found.field(column).type)]
        groups += row_groups(file, open_file(opened, tokens) if tokens else fragment, start=rows)
        rows += fragment.count_rows()
    vocabularies = {name: vocabulary.of(name, schema) for name in schema.id_names}
    tokens_of = {name: TokenIds(own) for name, own in vocabularies.items() if own is not None}
    starts = [group.start for group in groups]
    return ParquetReader(schema, columns, labels, options.oov, tokens_of, groups, files, starts, rows, kept)


@dataclass
class ParquetReader:
    """Reads Parquet files, see ``Reader`` and ``open_parquet``; the columns are ``match_columns``'s."""

    schema: Schema
    columns: list[str]
    labels: Labels | None
    oov: Oov
    tokens: dict[str, TokenIds]
    groups: list[RowGroup]
    files: list[str]
    starts: list[int]
    rows: int
    kept: pa.Schema | None = None
    skipped: int = 0

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a row group in batches of up to 65,536.

        Raises:
            DataError: an id out of range or an unknown token (unless ``oov="zero"``), a label or a value that is
                none, a broken file.
        """
        group = self.groups[chunk]
        kept = [] if self.kept is None else self.kept.names
        for done, table in group.read(list(dict.fromkeys([*self.columns, *kept]))):
            yield self._batch(table, group.file, group.first_row + done)

    def _batch(self, table: pa.RecordBatch, file: str, first_row: int) -> Batch:
        categorical = len(self.schema.id_names)
        found = ids_of(table.columns[:categorical], self.schema, self.tokens, self.oov, file, first_row)
        self.skipped += found.skipped
        values = np.empty((len(found.ids), len(self.schema.numeric)), dtype=np.float32)
        for number, name in enumerate(self.schema.numeric_names):
            values[:, number] = values_of(table.column(categorical + number), file, first_row, name)
        if self.labels is None:
            labels = np.full(len(found.ids), np.nan, dtype=np.float32)
        else:
            labels = labels_of(table.column(len(self.columns) - 1), self.labels, file, first_row)
        return Batch(found.ids, labels, values, self._kept(table), found.bags)

    def _kept(self, table: pa.RecordBatch) -> pa.RecordBatch | None:
        """Return the columns that are carried along, as the file has them: tokens may be dictionaries here."""
        if not self.kept:
            return None
        columns = [table.column(field.name).cast(field.type) for field in self.kept]
        return pa.RecordBatch.from_arrays(columns, schema=self.kept)


def infer_schema(
    path: str | Path, *, label: str = "label", names: Sequence[str] | None = None, pooling: Pooling = MEAN
) -> Schema:
    """Return the schema of data without a model: a field per column but the label, one more than its largest id.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        label: column of the labels.
        names: the columns that are fields; None takes all but the label.
        pooling: of the fields that are columns of lists.

    Raises:
        DataError: no such file, no Parquet, no rows, a column that holds no ids, no id in a column, ids
            that are hashes or keys rather than categories.
    """
    largest: dict[str, int] = {}
    columns = None if names is None else list(names)
    several: set[str] = set()
    rows = 0
    for opened in find_files(path):
        file, fragment = str(opened), open_file(opened)
        found = fragment.physical_schema
        check_label(file, label, found)
        columns = candidates(found, label) if columns is None else columns
        if not columns:
            raise DataError(f"{file}: holds no columns beside {label!r}, expected one for each field")
        for name in columns:
            check_integer(file, name, found, several=True)
            if is_list(found.field(name).type):
                several.add(name)
        for first_row, table in RowGroup(fragment, file).read(columns):
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
    fields = (Field(name, value + 1, pooling=pooling if name in several else None) for name, value in largest.items())
    return Schema(tuple(fields))


def _largest_id(file: str, first_row: int, name: str, column: pa.Array) -> int:
    lists = lists_of(column)
    values = integers(lists.values, file, first_row + lists.rows, name)
    too_large = values >= MAX_CATEGORIES
    if too_large.any():
        raise DataError(str(id_error(file, first_row + lists.rows, name, lists.values, too_large, MAX_CATEGORIES - 1)))
    return int(values.max(initial=MISSING))
