"""Files of columns, whatever their format, and what the folders that they lie in say of all their rows."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from fmcompress.data.data_files import DataFile


@dataclass(frozen=True)
class Piece:
    """Some rows that were read at a time.

    Attributes:
        done: rows of the chunk before them.
        rows: how many.
        columns: those for fields and labels, of any dtype of Arrow, (rows,) each.
        kept: those that are carried along, of any dtype of Arrow, (rows,) each.
    """

    done: int
    rows: int
    columns: list[pa.Array]
    kept: list[pa.Array]


class TableChunk(Protocol):
    """Rows of a file that are read at a time.

    Attributes:
        first_row: the first, counted from 0 in the file.
        start: the same, counted from 0 in all files.
    """

    @property
    def first_row(self) -> int: ...  # noqa: D102

    @property
    def start(self) -> int: ...  # noqa: D102

    def read(self, columns: Sequence[str], kept: Sequence[str]) -> Iterator[Piece]:
        """Yield the rows, with the columns in the order of their names.

        Raises:
            DataError: the file is broken.
        """


class TableFile(Protocol):
    """A file of columns.

    Attributes:
        columns: their names and types.
        typed: whether the types mean anything; where they do not, text stands for what it is taken for.
        rows: how many it has.
    """

    @property
    def columns(self) -> pa.Schema: ...  # noqa: D102

    @property
    def typed(self) -> bool: ...  # noqa: D102

    @property
    def rows(self) -> int: ...  # noqa: D102

    def chunks(
        self,
        start: int,
        tokens: Mapping[str, Container[str]],
        several: Container[str] = (),
        keys: Container[str] = (),
    ) -> Sequence[TableChunk]:
        """Return what is read at a time, where rows are.

        Args:
            start: rows in the files before.
            tokens: the columns that may be of tokens, and the tokens that are known.
            several: the columns that may have several values in a row.
            keys: the columns of 64-bit keys.
        """


@dataclass(frozen=True)
class Table:
    """A file of columns, and as columns behind them the keys of the folders that it lies in.

    Attributes:
        name: of the file.
        columns: names and types of all columns; a key is text.
        expected: the same, without a type where text stands for what it is taken for.
    """

    name: str
    columns: pa.Schema
    expected: pa.Schema
    _file: TableFile
    _keys: Mapping[str, str | None]

    @classmethod
    def of(cls, opened: TableFile, file: DataFile, wanted: Sequence[str]) -> Table:
        """Put the keys of a file's folders beside its columns, of which it may have those names itself.

        Args:
            opened: the file.
            file: where it is.
            wanted: columns that are looked for: what lies above the folder that was asked for counts only for these.
        """
        own, named = opened.columns, file.keys
        keys = {key: named[key] for key in named if key not in own.names and (key in file.below or key in wanted)}
        text = [pa.field(key, pa.string()) for key in keys]
        expected = own if opened.typed else pa.schema([pa.field(name, pa.null()) for name in own.names])
        untyped = [pa.field(key, pa.null()) for key in keys]
        return cls(str(file), pa.schema([*own, *text]), pa.schema([*expected, *untyped]), opened, keys)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self._file.rows

    def chunks(
        self,
        start: int,
        tokens: Mapping[str, Container[str]],
        several: Container[str] = (),
        keys: Container[str] = (),
    ) -> list[TableChunk]:
        """Return what is read at a time, see ``TableFile``."""
        chunks = self._file.chunks(start, tokens, several, keys)
        return [_KeyedChunk(chunk, self._keys) for chunk in chunks] if self._keys else list(chunks)


@dataclass(frozen=True)
class _KeyedChunk:
    """Rows that all have the same in some columns, see ``TableChunk``."""

    chunk: TableChunk
    keys: Mapping[str, str | None]

    @property
    def first_row(self) -> int:
        return self.chunk.first_row

    @property
    def start(self) -> int:
        return self.chunk.start

    def read(self, columns: Sequence[str], kept: Sequence[str]) -> Iterator[Piece]:
        """Yield the rows, with the columns of the folders among them."""
        own = [[name for name in names if name not in self.keys] for names in (columns, kept)]
        for piece in self.chunk.read(*own):
            found = (dict(zip(own[0], piece.columns, strict=True)), dict(zip(own[1], piece.kept, strict=True)))
            repeated = {
                key: pa.repeat(pa.scalar(value, pa.string()), piece.rows)
                for key, value in self.keys.items()
                if key in columns or key in kept
            }
            yield Piece(
                piece.done,
                piece.rows,
                [(found[0] | repeated)[name] for name in columns],
                [(found[1] | repeated)[name] for name in kept],
            )
