"""Tables of a file that are too large to be held in memory several times over: they stay in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.checkpoints.files.tensor import FileTensor, read_float32
from fmcompress.errors import CheckpointError
from fmcompress.fm import disk_table
from fmcompress.fm.disk_table import DiskTable, Table, on_disk
from fmcompress.types import AnyArray


def stays_on_disk(rows: int, dim: int) -> bool:
    """Return whether a table of so many rows and numbers in each is left in its file."""
    return 4 * rows * dim > disk_table.LARGEST_IN_MEMORY


def read_table(weights: Mapping[str, FileTensor], key: str) -> Table:
    """Return a table of floats as float32 (rows, dim), which stays in its file where it is large.

    Raises:
        CheckpointError: its type is no float, or its bytes are damaged.
    """
    shape = weights[key].shape
    if len(shape) == 2 and stays_on_disk(*shape):
        return left_in_file(weights, [key], shape[1])
    return read_float32(weights, key)


def left_in_file(weights: Mapping[str, FileTensor], keys: Sequence[str | int], dim: int) -> DiskTable:
    """Return the tables under some keys, one after the other, as one that stays in its file.

    Args:
        weights: the file's tensors, which stay open for as long as the table lives.
        keys: of the tables, (rows, dim) each or, of a single row, (dim,); in place of one, so many rows of zeros.
        dim: numbers in each row.

    Raises:
        CheckpointError: a tensor's type is no float.
    """
    return on_disk([_Zeros((key, dim)) if isinstance(key, int) else _tensor(weights, key, dim) for key in keys])


@dataclass(frozen=True)
class _Zeros:
    shape: tuple[int, int]

    def read_rows(self, start: int, stop: int) -> AnyArray:
        return np.zeros((stop - start, self.shape[1]), np.float32)


@dataclass(frozen=True)
class _SingleRow:
    """A tensor of one row, whatever its shape."""

    row: AnyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.row.shape

    def read_rows(self, start: int, stop: int) -> AnyArray:
        return self.row[start:stop].copy()


def _tensor(weights: Mapping[str, FileTensor], key: str, dim: int) -> FileTensor | _SingleRow:
    tensor = weights[key]
    kind = tensor.read_rows(0, 0).dtype if tensor.shape else np.dtype(np.int64)
    if kind.kind != "f":
        raise CheckpointError(f"{key!r} has type {kind}, expected floating-point weights")
    if len(tensor.shape) != 2 or tensor.shape[1] != dim:
        return _SingleRow(tensor.read().reshape(1, dim))
    tensor.hold()
    return tensor
