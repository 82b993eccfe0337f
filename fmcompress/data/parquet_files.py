"""Parquet files, read a row group at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.dataset as ds

from fmcompress.data.columns import has_tokens
from fmcompress.data.data_files import DataFile
from fmcompress.data.file_kinds import kind_of
from fmcompress.data.stored_files import StoredFile
from fmcompress.data.table_files import Piece, TableChunk
from fmcompress.errors import DataError

CHUNK_ROWS = 65_536

_READ_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file, see ``TableFile``."""

    file: DataFile
    columns: pa.Schema
    rows: int
    typed: bool = True

    def chunks(self, start: int, tokens: Collection[str], several: object = (), keys: object = ()) -> list[TableChunk]:
        """Return its row groups that have rows, see ``TableFile``."""
        strings = [name for name in tokens if name in self.columns.names and has_tokens(self.columns.field(name).type)]
        chunks: list[TableChunk] = []
        first_row = 0
        for part in _fragment(self.file.stored, strings).split_by_row_group():
            rows = sum(group.num_rows for group in part.row_groups)
            if rows:
                chunks.append(RowGroup(part, str(self.file), first_row, start + first_row))
            first_row += rows
        return chunks


def open_parquet(file: DataFile) -> ParquetFile:
    """Open a file and read what it says of its columns.

    Raises:
        DataError: it cannot be read.
    """
    fragment = _fragment(file.stored)
    return ParquetFile(file, fragment.physical_schema, fragment.metadata.num_rows)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, see ``TableChunk``.

    Attributes:
        fragment: its handle.
        file: name of the file.
        first_row: its first row, counted from 0 in the file.
        start: the same, counted from 0 in all files.
    """

    fragment: ds.ParquetFileFragment
    file: str
    first_row: int
    start: int

    def read(self, columns: Sequence[str], kept: Sequence[str]) -> Iterator[Piece]:
        """Yield the rows in pieces of up to 65,536.

        Raises:
            DataError: the file is broken.
        """
        done = 0
        names = list(dict.fromkeys([*columns, *kept]))
        try:
            for table in self.fragment.to_batches(columns=names, batch_size=CHUNK_ROWS, batch_readahead=2):
                found = ([table.column(name) for name in names] for names in (columns, kept))
                yield Piece(done, table.num_rows, *found)
                done += table.num_rows
        except _READ_ERRORS as error:
            raise DataError(f"{self.file}: broken Parquet data ({_first_line(error)})") from error


def _fragment(file: StoredFile, tokens: Sequence[str] = ()) -> ds.ParquetFileFragment:
    """Return the handle of a file.

    Args:
        file: the file.
        tokens: columns of strings that are read as Parquet has them: each string once, and numbers for the rows.

    Raises:
        DataError: it cannot be read.
    """
    kind = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=set(tokens)))
    try:
        fragment = kind.make_fragment(file.handle, file.system)
        fragment.ensure_complete_metadata()
    except _READ_ERRORS as error:
        other = "data are Parquet, CSV or libsvm text; binary files of libFM and xLearn are not read"
        raise DataError(
            f"{file}: not a readable Parquet file ({_first_line(error)})",
            hint=other if kind_of(file) == "other" else None,
        ) from error
    return fragment


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
