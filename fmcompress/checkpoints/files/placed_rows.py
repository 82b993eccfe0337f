"""Rows of a table that come in any order, put in their places: in memory, or many of them in a temporary file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fmcompress.checkpoints.files.temporary_file import temporary_file, writing
from fmcompress.checkpoints.random_file import RandomFile
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES, StoredTensor
from fmcompress.checkpoints.stored_rows import Layout, read_rows
from fmcompress.types import Float32Array, Int64Array, UInt16Array

_BLOCK_ROWS = 2**16
_BYTES = 4


@dataclass(frozen=True)
class SpooledTable(StoredTensor):
    """A table in a temporary file without a name, which is gone when nobody has it; see ``tensor.FileTensor``."""

    shape: tuple[int, int]
    _file: RandomFile

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""
        return True

    def read(self) -> Float32Array:
        """Return its values, float32 (rows, dim)."""
        return self.read_rows(0, self.shape[0])

    def read_rows(self, start: int, stop: int) -> Float32Array:
        """Return some of its rows, float32 (stop - start, dim)."""
        return read_rows(self._file.read_into, Layout.dense(NUMBER_TYPES["float32"], 0, self.shape), start, stop)

    def hold(self) -> None:
        """Do nothing: it is open for as long as anybody has it."""


class RowsInMemory:
    """Takes rows in any order, and puts them into an array."""

    def __init__(self, rows: int, dim: int) -> None:
        """Take the shape of the table."""
        self._table = np.zeros((rows, dim), np.float32)

    def put(self, places: Int64Array, values: Float32Array) -> None:
        """Take rows, float32 (n, dim), for places, int64 (n,), of which none comes twice."""
        self._table[places] = values

    def table(self) -> Float32Array:
        """Return the table, once all rows are there, float32 (rows, dim)."""
        return self._table


@dataclass
class RowsOnDisk:
    """Takes rows in any order, and puts them into a temporary file.

    A block of the table is filled as rows of it come, one behind the other; two bytes for each row tell where it
    belongs in its block, and at the end each block is put in order. So the file is written in long pieces, and no more
    than a block is in memory.

    Attributes:
        rows: of the table.
        dim: numbers in each.
    """

    rows: int
    dim: int
    _file: RandomFile = field(init=False)
    _filled: Int64Array = field(init=False)
    _within: UInt16Array = field(init=False)

    def __post_init__(self) -> None:
        self._file = temporary_file(_BYTES * self.rows * self.dim)
        self._filled = np.zeros(-(-self.rows // _BLOCK_ROWS), np.int64)
        self._within = np.zeros(self.rows, np.uint16)

    def put(self, places: Int64Array, values: Float32Array) -> None:
        """Take rows, float32 (n, dim), for places, int64 (n,), of which none comes twice."""
        blocks = places // _BLOCK_ROWS
        if (np.diff(blocks) < 0).any():
            order = np.argsort(blocks, kind="stable")
            blocks, places, values = blocks[order], places[order], values[order]
        values = np.ascontiguousarray(values, np.float32)
        starts = np.flatnonzero(np.diff(blocks, prepend=-1)).tolist()
        for start, stop in zip(starts, [*starts[1:], len(blocks)], strict=True):
            block = int(blocks[start])
            row = block * _BLOCK_ROWS + int(self._filled[block])
            self._within[row : row + stop - start] = places[start:stop] - block * _BLOCK_ROWS
            self._filled[block] += stop - start
            self._write(row, values[start:stop])

    def table(self) -> SpooledTable:
        """Return the table, once all rows are there."""
        found = SpooledTable((self.rows, self.dim), self._file)
        for first in range(0, self.rows, _BLOCK_ROWS):
            within = self._within[first : first + _BLOCK_ROWS]
            if not np.array_equal(within, np.arange(len(within))):
                values = found.read_rows(first, first + len(within))
                ordered = np.empty_like(values)
                ordered[within] = values
                self._write(first, ordered)
        return found

    def _write(self, row: int, values: Float32Array) -> None:
        with writing():
            self._file.write_from(_BYTES * self.dim * row, values.reshape(-1).view(np.uint8))
