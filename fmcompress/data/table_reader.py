"""Files of columns, read as ids, values and labels of fields; and the schema of files without a model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from fmcompress.data.batch import Batch
from fmcompress.data.columns import Lookup, TokenIds, id_error, ids_of, labels_of, values_of
from fmcompress.data.data_files import DataFile
from fmcompress.data.file_kinds import Kind
from fmcompress.data.key_columns import KeyIds
from fmcompress.data.list_columns import is_list, lists_of
from fmcompress.data.matching import candidates, check_integer, check_label, kept_columns, match_columns
from fmcompress.data.numbers import integers
from fmcompress.data.options import DataOptions, Labels, Oov
from fmcompress.data.stored_files import TEXTS, StoredFile, each_of, each_of_shared
from fmcompress.data.table_files import Piece, Table, TableChunk, TableFile
from fmcompress.errors import DataError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.pooling import MEAN, Pooling
from fmcompress.fm.schema import MAX_CATEGORIES, MISSING, Field, Schema
from fmcompress.fm.vocabulary import Vocabulary

# A field of so many categories, and so many for each row, is one of hashes or keys: a model would hold nothing else.
_MANY_CATEGORIES = 50_000_000
_MANY_PER_ROW = 100


def _open_each(files: Sequence[DataFile], kind: Kind, wanted: Sequence[str]) -> list[Table]:
    """Open files of columns, several at a time; rows of CSV are counted by one process of several.

    Args:
        files: where they are.
        kind: what they are; all but CSV is taken for Parquet, whose reader will say why it is none.
        wanted: columns that are looked for.

    Raises:
        DataError: one cannot be read.
    """
    opened: Sequence[TableFile]
    patience = files[0].stored.patience
    if kind == "csv":
        from fmcompress.data.csv_files import CsvFile, count_csv

        counted = each_of_shared(partial(count_csv, wanted=wanted), files, min(patience, TEXTS))
        opened = [CsvFile(file, own) for file, own in zip(files, counted, strict=True)]
    else:
        from fmcompress.data.parquet_files import Footers, open_parquet

        opened = each_of(partial(open_parquet, footers=Footers()), files, patience)
    return [Table.of(each, file, wanted) for file, each in zip(files, opened, strict=True)]


def open_tables(
    files: Sequence[DataFile],
    kind: Kind,
    schema: Schema,
    options: DataOptions,
    labels: Labels | None,
    vocabulary: Vocabulary,
    keep: Sequence[str] = (),
) -> TableReader:
    """Open files of columns and check these; rows are read later, chunk by chunk.

    Args:
        files: the files.
        kind: what they are.
        schema: the fields.
        options: the column of the labels, and how columns and ids are read.
        labels: what labels are; None where they are not wanted.
        vocabulary: tokens of the fields that may have columns of strings.
        keep: columns that are carried along.

    Raises:
        DataError: no file of this kind, a column is missing or of the wrong type.
    """
    vocabularies = {name: own for name in schema.id_names if (own := vocabulary.of(name, schema)) is not None}
    keyed = {name: own for name, own in vocabularies.items() if isinstance(own, FieldKeys)}
    known_tokens = {name: own for name, own in vocabularies.items() if isinstance(own, FieldVocabulary)}
    wanted = (options.label, *keep, *(schema.order if options.match == "name" else ()))
    columns: list[str] = []
    kept: pa.Schema | None = None
    chunks: list[Chunk] = []
    rows = 0
    for table in _open_each(files, kind, wanted):
        matched = match_columns(table.name, table.expected, schema, options, vocabulary, labelled=labels is not None)
        if columns and matched != columns:
            raise DataError(f"{table.name}: its columns differ from those of {files[0]}")
        columns = matched
        kept = _unified(kept, kept_columns(table.name, table.columns, keep), table.name, str(files[0]))
        ids = dict(zip(schema.id_names, columns, strict=False))  # these come first
        known = {ids[name]: own.known for name, own in known_tokens.items()}
        several, keys = {ids[name] for name in schema.poolings}, {ids[name] for name in keyed}
        chunks += [Chunk(table.name, chunk) for chunk in table.chunks(rows, known, several, keys)]
        rows += table.rows
    tokens: dict[str, Lookup] = {name: TokenIds(own) for name, own in known_tokens.items()}
    tokens |= {name: KeyIds(own) for name, own in keyed.items()}
    starts = [chunk.rows.start for chunk in chunks]
    stored = [file.stored for file in files]
    return TableReader(schema, columns, labels, options.oov, tokens, chunks, stored, starts, rows, kept)


def _unified(kept: pa.Schema | None, own: pa.Schema, file: str, first: str) -> pa.Schema:
    """Return types that hold what two files have in the columns to keep."""
    if kept is None or kept == own:
        return own
    try:
        return pa.unify_schemas([_plain(kept), _plain(own)], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(f"{file}: the columns to keep are of other types than in {first}") from error


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return types without dictionaries."""
    kinds = ((field.name, field.type) for field in schema)
    return pa.schema([(name, kind.value_type if pa.types.is_dictionary(kind) else kind) for name, kind in kinds])


@dataclass(frozen=True)
class Chunk:
    """Rows that are read at a time, and the name of their file."""

    file: str
    rows: TableChunk


@dataclass
class TableReader:
    """Reads files of columns, see ``Reader`` and ``open_tables``; the columns are ``match_columns``'s."""

    schema: Schema
    columns: list[str]
    labels: Labels | None
    oov: Oov
    tokens: dict[str, Lookup]
    chunks: list[Chunk]
    files: list[StoredFile]
    starts: list[int]
    rows: int
    kept: pa.Schema | None = None
    skipped: int = 0

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a chunk in batches.

        Raises:
            DataError: an id out of range or an unknown token (unless ``oov="zero"``), a label or a value that is
                none, a broken file.
        """
        found = self.chunks[chunk]
        for piece in found.rows.read(self.columns, [] if self.kept is None else self.kept.names):
            yield self._batch(piece, found.file, found.rows.first_row + piece.done)

    def _batch(self, piece: Piece, file: str, first_row: int) -> Batch:
        categorical = len(self.schema.id_names)
        found = ids_of(piece.columns[:categorical], self.schema, self.tokens, self.oov, file, first_row)
        self.skipped += found.skipped
        values = np.empty((len(found.ids), len(self.schema.numeric)), dtype=np.float32)
        for number, name in enumerate(self.schema.numeric_names):
            values[:, number] = values_of(piece.columns[categorical + number], file, first_row, name)
        if self.labels is None:
            labels = np.full(len(found.ids), np.nan, dtype=np.float32)
        else:
            labels = labels_of(piece.columns[-1], self.labels, file, first_row)
        return Batch(found.ids, labels, values, self._kept(piece), found.bags)

    def _kept(self, piece: Piece) -> pa.RecordBatch | None:
        """Return the columns that are carried along, of one type in all files: tokens may be dictionaries here."""
        if not self.kept:
            return None
        columns = [column.cast(field.type) for column, field in zip(piece.kept, self.kept, strict=True)]
        return pa.RecordBatch.from_arrays(columns, schema=self.kept)


def infer_schema(
    path: str | Path,
    files: Sequence[DataFile],
    kind: Kind,
    *,
    label: str = "label",
    names: Sequence[str] | None = None,
    pooling: Pooling = MEAN,
) -> Schema:
    """Return the schema of data without a model: a field per column but the label, one more than its largest id.

    Args:
        path: what the files were found by, for messages.
        files: the files.
        kind: what they are.
        label: column of the labels.
        names: the columns that are fields; None takes all but the label, which all files must have.
        pooling: of the fields that are columns of lists.

    Raises:
        DataError: no file of this kind, no rows, a column that holds no ids, no id in a column, ids that are hashes or
            keys rather than categories.
    """
    largest: dict[str, int] = {}
    rows = 0
    tables = _open_each(files, kind, (label, *(names or ())))
    columns = _field_columns(tables, label) if names is None else list(names)
    several: set[str] = set()
    for table in tables:
        for name in columns:
            check_integer(table.name, name, table.expected, several=True)
            if is_list(table.expected.field(name).type):
                several.add(name)
        for chunk in table.chunks(0, {}):
            for piece in chunk.read(columns, ()):
                rows += piece.rows
                for name, column in zip(columns, piece.columns, strict=True):
                    value = _largest_id(table.name, chunk.first_row + piece.done, name, column)
                    largest[name] = max(largest.get(name, MISSING), value)
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


def _field_columns(tables: Sequence[Table], label: str) -> list[str]:
    """Return the columns that are fields, in the order of the first file; each must be in all files."""
    columns: dict[str, str] = {}
    for table in tables:
        check_label(table.name, label, table.expected)
        for name in candidates(table.expected, label):
            columns.setdefault(name, table.name)
    if not columns:
        raise DataError(f"{tables[0].name}: holds no columns beside {label!r}, expected one for each field")
    for table in tables:
        for name, where in columns.items():
            if name not in table.expected.names:
                raise DataError(
                    f"{table.name}: has no column {name!r}, which {where} has",
                    hint="give the columns that are fields with --fields",
                )
    return list(columns)


def _largest_id(file: str, first_row: int, name: str, column: pa.Array) -> int:
    lists = lists_of(column)
    values = integers(lists.values, file, first_row + lists.rows, name)
    too_large = values >= MAX_CATEGORIES
    if too_large.any():
        raise DataError(str(id_error(file, first_row + lists.rows, name, lists.values, too_large, MAX_CATEGORIES - 1)))
    return int(values.max(initial=MISSING))
