"""Reads Parquet files with a row for each category, some rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.checkpoints.files.parquet_pages import check_expansion
from fmcompress.checkpoints.reading_errors import damaged, listed_all, of_file, quoted
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray, Float32Array

_MAGIC = b"PAR1"
_SUFFIX = ".parquet"
_BATCH_ROWS = 2**16
_BUFFER_BYTES = 2**20


def parquet_files(path: Path) -> list[Path]:
    """Return the Parquet files that a path names: itself, or those in the folder, in the order of their names."""
    if not path.is_dir():
        with path.open("rb") as file:
            return [path] if file.read(len(_MAGIC)) == _MAGIC else []
    found = path.glob(f"*{_SUFFIX}")
    return sorted(file for file in found if file.is_file() and not file.name.startswith(("_", ".")))


@dataclass(frozen=True)
class ParquetRows:
    """The rows of Parquet files with the same columns.

    Attributes:
        files: the files.
        types: Arrow's type of each column, by name.
        texts: strings that the first file has beside its columns.
        rows: how many rows all files have.
    """

    files: tuple[Path, ...]
    types: Mapping[str, Any]
    texts: Mapping[str, str]
    rows: int

    @classmethod
    def open(cls, files: Collection[Path]) -> ParquetRows:
        """Look at what files hold.

        Raises:
            CheckpointError: one is damaged, or has other columns than the first.
        """
        types: dict[str, Any] = {}
        texts: dict[str, str] = {}
        rows = 0
        for number, path in enumerate(files):
            with _opened(path) as file:
                own = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
                if len(own) < len(file.schema_arrow.names):
                    raise CheckpointError("it has two columns of one name")
                rows += file.metadata.num_rows
                if not number:
                    types, texts = own, _texts(file.metadata.metadata or {})
            if own != types:
                raise CheckpointError(
                    f"its file {quoted(path.name)} has the columns {_described(own)}, "
                    f"but {quoted(next(iter(files)).name)} has {_described(types)}"
                )
        return cls(tuple(files), types, texts, rows)

    def check(self) -> None:
        """Refuse files whose values take far more memory than they have bytes.

        Raises:
            CheckpointError: they do, or are damaged.
        """
        for path in self.files:
            with of_file(path.name):
                check_expansion(path, table=True)

    def batches(self, columns: Collection[str]) -> Iterator[Batch]:
        """Yield the rows of some columns, some tens of thousands at a time.

        Raises:
            CheckpointError: a file is damaged.
        """
        import pyarrow as pa

        left = self.rows
        for path in self.files:
            first = 0
            with _opened(path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns)):
                    left -= batch.num_rows
                    if left < 0:
                        raise CheckpointError("it has more rows than it says", hint="it was changed while it was read")
                    yield Batch(path.name, first, batch)
                    first += batch.num_rows
        pa.default_memory_pool().release_unused()
        if left:
            raise CheckpointError(f"it has {left:,} rows less than it says", hint="it was changed while it was read")


@dataclass(frozen=True)
class Batch:
    """Rows of a file.

    Attributes:
        file: its name.
        first: number of the first of the rows.
        rows: the rows, of Arrow.
    """

    file: str
    first: int
    rows: Any

    @property
    def size(self) -> int:
        """How many rows there are."""
        return int(self.rows.num_rows)

    def column(self, name: str) -> Any:
        """Return a column of Arrow, in which no value is null.

        Raises:
            CheckpointError: one is.
        """
        found = self.rows.column(name)
        if found.null_count:
            raise self.wrong(name, int(np.argmax(found.is_null())), "null")
        return found

    def numbers(self, name: str) -> AnyArray:
        """Return a column of numbers, (rows,) of its own dtype."""
        return np.asarray(self.column(name).to_numpy(zero_copy_only=False))

    def floats(self, name: str) -> Float32Array:
        """Return a column of floats, float32 (rows,).

        Raises:
            CheckpointError: one is null, NaN or infinite.
        """
        return self.finite(name, self.numbers(name)[:, None])[:, 0]

    def lists(self, name: str, dim: int) -> Float32Array:
        """Return a column of lists of floats, float32 (rows, dim).

        Raises:
            CheckpointError: one is null, of another length, or has a value that is null, NaN or infinite.
        """
        import pyarrow.compute as pc

        column = self.column(name)
        lengths = np.asarray(pc.list_value_length(column))
        if (lengths != dim).any():
            row = int(np.argmax(lengths != dim))
            raise self.wrong(name, row, f"{lengths[row]} numbers long", f"{dim}, as in the first row")
        values = column.flatten()
        if values.null_count:
            raise self.wrong(name, int(np.argmax(values.is_null())) // dim, "null in part")
        return self.finite(name, np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, dim))

    def finite(self, name: str, values: AnyArray) -> Float32Array:
        """Return values, of any float type (rows, dim), as float32, after checking that they are finite."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = np.asarray(values, np.float32, order="C")
        if not np.isfinite(found).all():
            raise self.wrong(name, int(np.argmin(np.isfinite(found).all(axis=1))), "NaN or infinite")
        return found

    def wrong(self, name: str, row: int, what: str, expected: str = "") -> CheckpointError:
        """Return the error for a value in one of the rows."""
        tail = f", expected {expected}" if expected else ""
        return CheckpointError(
            f"column {quoted(name)} of {quoted(self.file)} is {what} in row {self.first + row:,}{tail}"
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    what = f"its Parquet file {quoted(path.name)} cannot be read"
    try:
        with (
            damaged(what),
            pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True) as file,
        ):
            yield file
    except pa.ArrowException as error:
        raise CheckpointError(what, hint="the file is damaged or was cut short: copy or save it again") from error


def _texts(found: Mapping[bytes, bytes]) -> dict[str, str]:
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()}


def _described(types: Mapping[str, Any]) -> str:
    return listed_all([f"{name}: {kind}" for name, kind in types.items()])
