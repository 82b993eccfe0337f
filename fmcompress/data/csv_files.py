"""CSV files: their rows found in one pass, then read in parts of which blocks are parsed side by side."""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from fmcompress.cores import usable_cores
from fmcompress.data.csv_blocks import BlockParser, ColumnError, RowError
from fmcompress.data.csv_text import (
    LONGEST_ROW_BYTES,
    Header,
    OpenQuoteError,
    RowTooLongError,
    blocks_of,
    count_rows,
    header_of,
)
from fmcompress.data.data_files import DataFile
from fmcompress.data.file_kinds import codec_of, open_text
from fmcompress.data.table_files import Piece, TableChunk
from fmcompress.errors import DataError
from fmcompress.text import shortened

_T = TypeVar("_T")

_PART_BYTES = 8 * 2**20
_BLOCK_BYTES = 2**20
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class _Part:
    """Whole rows of a file that are read one after the other.

    Attributes:
        offset: where they begin in the file, decompressed.
        size_bytes: how long they are; -1 for all up to the end.
        rows: how many.
        first_row: the first, counted from 0 in the file.
    """

    offset: int
    size_bytes: int
    rows: int
    first_row: int


@dataclass(frozen=True)
class CountedCsv:
    """What is known of a CSV file once its rows are counted.

    Attributes:
        header: its header.
        parts: whole rows that are read one after the other.
        codec: what it is compressed by; None where it is not.
    """

    header: Header
    parts: tuple[_Part, ...]
    codec: str | None


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, see ``TableFile``."""

    file: DataFile
    counted: CountedCsv

    @property
    def columns(self) -> pa.Schema:
        """Names of the columns; all are text."""
        return pa.schema([pa.field(name, pa.string()) for name in self.counted.header.names])

    @property
    def typed(self) -> bool:
        """Whether the types of the columns mean anything."""
        return False

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(part.rows for part in self.counted.parts)

    def chunks(
        self,
        start: int,
        tokens: Mapping[str, Container[str]],
        several: Container[str] = (),
        keys: Container[str] = (),
    ) -> list[TableChunk]:
        """Return what is read at a time: some 8 MiB, or the whole of a file that is compressed."""
        known, parser = self.counted, BlockParser(self.counted.header, tokens, several, keys)
        return [
            CsvChunk(self.file, known.codec, part, parser, part.first_row, start + part.first_row)
            for part in known.parts
        ]


def count_csv(file: DataFile, wanted: Sequence[str]) -> CountedCsv:
    """Read the header of a file and count its rows.

    Args:
        file: where it is.
        wanted: columns that are looked for.

    Raises:
        DataError: it cannot be read, or has no header.
    """
    with _reading(file):
        codec = codec_of(file.stored)
        with open_text(file.stored, codec) as stream:
            header = header_of(stream)
    if header is None:
        raise DataError(f"{file}: is empty, expected a line with the names of the columns")
    if not set(header.names) & set(wanted) and all(_is_number(name) for name in header.names):
        shown = shortened(header.delimiter.join(header.names), _SHOWN_CHARACTERS)
        raise DataError(
            f"{file}: has no header: its first line is {shown}",
            hint="put the names of the columns into the first line",
        )
    return CountedCsv(header, tuple(_parts_of(file, codec, header)), codec)


def _parts_of(file: DataFile, codec: str | None, header: Header) -> Iterator[_Part]:
    """Yield the parts of a file; of one that is compressed, which can be read in order only, a single one."""
    compressed = codec is not None
    offset, first_row = header.size_bytes, 0
    with _reading(file, lambda: first_row), open_text(file.stored, codec) as stream:
        _skip(stream, offset)
        for block in blocks_of(stream, _PART_BYTES, header.delimiter):
            rows = count_rows(block, header.delimiter)
            if rows and not compressed:
                yield _Part(offset, len(block), rows, first_row)
            offset, first_row = offset + len(block), first_row + rows
    if first_row and compressed:
        yield _Part(header.size_bytes, -1, first_row, 0)


@dataclass(frozen=True)
class CsvChunk:
    """Rows of a CSV file, see ``TableChunk``."""

    file: DataFile
    codec: str | None
    part: _Part
    parser: BlockParser
    first_row: int
    start: int

    def read(self, columns: Sequence[str], kept: Sequence[str]) -> Iterator[Piece]:
        """Yield the rows in pieces of some 1 MiB.

        Raises:
            DataError: the file cannot be read, or a row has more or fewer cells than there are columns.
        """
        done = 0
        parse = partial(self.parser.parse, columns=columns, kept=kept)
        with _reading(self.file, lambda: self.first_row + done), open_text(self.file.stored, self.codec) as stream:
            _skip(stream, self.part.offset)
            text = stream if self.part.size_bytes < 0 else io.BytesIO(stream.read(self.part.size_bytes))
            blocks = blocks_of(text, _BLOCK_BYTES, self.parser.header.delimiter)
            for piece in _in_order(parse, (block for block in blocks if block.strip(b"\r\n"))):
                yield replace(piece, done=done)
                done += piece.rows
        if done != self.part.rows:
            raise DataError(f"{self.file}: has changed while it was read")


@contextmanager
def _reading(file: DataFile, row: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Turn what goes wrong in reading a file into a DataError; ``row`` tells how many rows were read so far."""
    try:
        yield
    except RowError as error:
        raise DataError(f"{file}: row {row() + error.row} {error}") from error
    except ColumnError as error:
        raise DataError(f"{file}: {error}") from error
    except RowTooLongError as error:
        raise DataError(
            f"{file}: row {row()} is longer than {LONGEST_ROW_BYTES:,} bytes", hint="is a quote in it never closed?"
        ) from error
    except OpenQuoteError as error:
        raise DataError(f"{file}: row {row()}: a quote in it is never closed") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: its first line is no header of CSV in UTF-8 ({error})") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{file}: cannot be read: {_first_line(error)}") from error


def _in_order(work: Callable[[bytes], _T], items: Iterable[bytes]) -> Iterator[_T]:
    """Yield what is made of each item, in their order; as many as there are cores are worked on at a time."""
    items, cores = iter(items), usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        waiting = deque(pool.submit(work, item) for item in islice(items, cores + 1))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(items, 1))


def _skip(stream: pa.NativeFile, size_bytes: int) -> None:
    if stream.seekable():
        stream.seek(size_bytes)
    else:
        stream.read(size_bytes)


def _is_number(name: str) -> bool:
    try:
        float(name or "0")
    except ValueError:
        return False
    return True


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
