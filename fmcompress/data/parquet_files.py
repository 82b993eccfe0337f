"""Parquet files, read a row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs

from fmcompress.data.files import find_files, kind_of
from fmcompress.errors import DataError

CHUNK_ROWS = 65_536

_READ_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)


@dataclass(frozen=True)
class Slab:
    """What is read at a time: a row group of a file, or a whole file.

    Attributes:
        fragment: its handle.
        file: name of the file.
        first_row: its first row, counted from 0 in the file.
        start: the same, counted from 0 in all files.
    """

    fragment: ds.ParquetFileFragment
    file: str
    first_row: int = 0
    start: int = 0

    def read(self, columns: list[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield record batches of these columns, in this order, each after the number of rows before it.

        Raises:
            DataError: the file is broken.
        """
        done = 0
        try:
            for table in self.fragment.to_batches(columns=columns, batch_size=CHUNK_ROWS, batch_readahead=2):
                yield done, table.select(columns)
                done += table.num_rows
        except _READ_ERRORS as error:
            raise DataError(f"{self.file}: broken Parquet data ({_first_line(error)})") from error


def open_files(path: str | Path) -> Iterator[tuple[Path, ds.ParquetFileFragment]]:
    """Yield each file with its handle, in the order of their names.

    Args:
        path: a Parquet file, a folder of them, or a glob.

    Raises:
        DataError: there is none, or one cannot be read.
    """
    for file in find_files(path):
        yield file, open_file(file)


def open_file(file: Path, tokens: Sequence[str] = ()) -> ds.ParquetFileFragment:
    """Return the handle of a file.

    Args:
        file: the file.
        tokens: columns of strings that are read as Parquet has them: each string once, and numbers for the rows.

    Raises:
        DataError: it cannot be read.
    """
    kind = ds.ParquetFileFormat(read_options=ds.ParquetReadOptions(dictionary_columns=set(tokens)))
    try:
        fragment = kind.make_fragment(_source(file), pyarrow.fs.LocalFileSystem())
        fragment.ensure_complete_metadata()
    except _READ_ERRORS as error:
        other = "data are Parquet or libsvm text; binary files of libFM and xLearn are not read"
        raise DataError(
            f"{file}: not a readable Parquet file ({_first_line(error)})",
            hint=other if kind_of(file) == "other" else None,
        ) from error
    return fragment


def row_groups(file: str, fragment: ds.ParquetFileFragment, *, start: int) -> list[Slab]:
    """Return the row groups of a file that have rows; ``start`` is the number of rows in the files before."""
    slabs = []
    first_row = 0
    for part in fragment.split_by_row_group():
        rows = sum(group.num_rows for group in part.row_groups)
        if rows:
            slabs.append(Slab(part, file, first_row, start + first_row))
        first_row += rows
    return slabs


def _source(file: Path) -> str | pa.NativeFile:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return pa.OSFile(os.fsencode(file))  # a name that is not UTF-8: pyarrow takes it as bytes only
    return str(file)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
