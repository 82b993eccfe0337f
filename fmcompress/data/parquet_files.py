"""Parquet files, read a row group at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import pyarrow as pa
import pyarrow.dataset as ds

from fmcompress.data.columns import has_tokens
from fmcompress.data.data_files import DataFile
from fmcompress.data.file_kinds import kind_of
from fmcompress.data.stored_files import StoredFile
from fmcompress.data.table_files import Piece, TableChunk
from fmcompress.errors import DataError

CHUNK_ROWS = 65_536

_HELD_COLUMNS = 32_768
_READ_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)


class Footers:
    """Handles of files with what their footers say, read when they are asked for; those of the last few are kept.

    What is kept is of 32,768 columns of row groups at most, some 40 MB, or of one file, however many files there are.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[StoredFile, tuple[str, ...]], ds.ParquetFileFragment] = OrderedDict()
        self._sizes: dict[tuple[StoredFile, tuple[str, ...]], int] = {}
        self._changing = Lock()

    def of(self, file: StoredFile, tokens: tuple[str, ...] = ()) -> ds.ParquetFileFragment:
        """Return the handle of a file.

        Args:
            file: the file.
            tokens: columns of strings that are read as Parquet has them: each string once, and numbers for the rows.

        Raises:
            DataError: it cannot be read.
        """
        key = (file, tokens)
        with self._changing:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        fragment = _fragment(file, tokens)
        with self._changing:
            self._held[key] = fragment
            self._sizes[key] = fragment.metadata.num_columns * fragment.metadata.num_row_groups
            while len(self._held) > 1 and sum(self._sizes.values()) > _HELD_COLUMNS:
                oldest, _ = self._held.popitem(last=False)
                del self._sizes[oldest]
        return fragment


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file, see ``TableFile``."""

    file: DataFile
    columns: pa.Schema
    groups: tuple[int, ...]
    footers: Footers
    typed: bool = True

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(self.groups)

    def chunks(self, start: int, tokens: Collection[str], several: object = (), keys: object = ()) -> list[TableChunk]:
        """Return its row groups that have rows, see ``TableFile``."""
        names = self.columns.names
        strings = tuple(name for name in tokens if name in names and has_tokens(self.columns.field(name).type))
        chunks: list[TableChunk] = []
        first_row = 0
        for number, rows in enumerate(self.groups):
            if rows:
                chunks.append(RowGroup(self.file, self.footers, strings, number, rows, first_row, start + first_row))
            first_row += rows
        return chunks


def open_parquet(file: DataFile, footers: Footers) -> ParquetFile:
    """Open a file and read what it says of its columns and row groups.

    Args:
        file: where it is.
        footers: reads them, and keeps a few.

    Raises:
        DataError: it cannot be read.
    """
    fragment = footers.of(file.stored)
    said = fragment.metadata
    groups = tuple(said.row_group(number).num_rows for number in range(said.num_row_groups))
    return ParquetFile(file, fragment.physical_schema, groups, footers)


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file, see ``TableChunk``.

    Attributes:
        file: the file.
        footers: reads footers.
        tokens: columns of strings that are read as Parquet has them.
        number: which row group of the file.
        rows: how many it had when the file was opened.
        first_row: its first row, counted from 0 in the file.
        start: the same, counted from 0 in all files.
    """

    file: DataFile
    footers: Footers
    tokens: tuple[str, ...]
    number: int
    rows: int
    first_row: int
    start: int

    def read(self, columns: Sequence[str], kept: Sequence[str]) -> Iterator[Piece]:
        """Yield the rows in pieces of up to 65,536.

        Raises:
            DataError: the file is broken.
        """
        done = 0
        names = list(dict.fromkeys([*columns, *kept]))
        whole = self.footers.of(self.file.stored, self.tokens)
        groups = whole.row_groups
        if self.number >= len(groups) or groups[self.number].num_rows != self.rows:
            raise DataError(f"{self.file}: has changed while it was read")
        try:
            group = whole.subset(row_group_ids=[self.number])
            for table in group.to_batches(columns=names, batch_size=CHUNK_ROWS, batch_readahead=2):
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
        fragment = kind.make_fragment(file.handle, file.system, file_size=file.known_bytes)
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
