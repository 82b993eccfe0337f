"""Tables of embeddings that stay on the disk, with the face of an array: what is looked at is read, and no more.

A table is worked on by blocks of rows, and by rows that are gathered. What becomes of it, a part, some of its rows, its
rows along other axes, is a table again, in which nothing is read before it is looked at. All of this gives the numbers
that the same steps give in memory, bit by bit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import cached_property
from typing import Any, Protocol, TypeVar

import numpy as np

from fmcompress.cores import usable_cores
from fmcompress.types import AnyArray, BoolArray, Float32Array, Int64Array

Result = TypeVar("Result")

BLOCK_ROWS = 65_536
"""Rows that are worked on at once; up to so many are one block, wherever a table is."""

LARGEST_IN_MEMORY = 256 * 2**20
"""Bytes of a table in fp32 that is read into memory; a larger one stays on the disk."""

PASS_ROWS = 16_384
"""Rows that each thread holds at once, where all of a table is gone through."""

_MOST_THREADS = 8
_GATHER_ROWS = 16_384
_DENSE = 16
"""Of so many rows that lie near each other, from so many on, all are read at once."""

_MASK_ROWS = 4096


class RowSource(Protocol):
    """Something on the disk that rows of numbers can be read from."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and numbers in each."""

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return rows in memory of their own, floats of any dtype (stop - start, dim)."""


class DiskTable(ABC):
    """A table on the disk with the face of an array, float32 (rows, dim)."""

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(self, rows: int, dim: int) -> None:
        """Take its shape."""
        self.shape = rows, dim
        self._views: dict[tuple[int, int], DiskTable] = {}

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of its numbers in fp32."""
        return 4 * self.size

    def __getitem__(self, rows: int | slice | Int64Array | BoolArray) -> Float32Array:
        """Return rows, in memory of their own, float32 (n, dim); of a single one (dim,)."""
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            return self.read_rows(start, max(start, stop)) if step == 1 else self[np.arange(start, stop, step)]
        wanted = np.asarray(rows)
        if wanted.ndim == 0:
            return np.asarray(self[np.array([int(wanted)])][0])
        if wanted.dtype.kind == "b":
            wanted = np.flatnonzero(wanted)
        if len(wanted) and not -len(self) <= wanted.min() <= wanted.max() < len(self):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a table of {len(self):,}")
        rising, places = np.unique(np.where(wanted < 0, wanted + len(self), wanted), return_inverse=True)
        found = self.gather(rising)
        return found if np.array_equal(rising, wanted) else np.asarray(found[places.reshape(wanted.shape)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> AnyArray:
        """Return all of it, in memory."""
        found: AnyArray = self[:].astype(dtype or self.dtype, copy=False)
        return found

    def within(self, rows: slice) -> DiskTable:
        """Return a part of it, which is not read; the same part is the same table."""
        start, stop, _ = rows.indices(len(self))
        if (start, stop) == (0, len(self)):
            return self
        if (start, stop) not in self._views:
            self._views[start, stop] = self._part(start, stop)
        return self._views[start, stop]

    def _part(self, start: int, stop: int) -> DiskTable:
        return _Within(self, start, stop)

    def taken(self, rows: Int64Array) -> DiskTable:
        """Return some of its rows, rising, int64 (n,), as a table that is not read."""
        return _Taken(self, rows)

    def turned(self, axes: Float32Array) -> DiskTable:
        """Return it along other axes, float32 (dim, dim), by which it is multiplied as it is read."""
        return _Turned(self, axes)

    def scaled(self, factor: float) -> DiskTable:
        """Return it times a number, by which it is multiplied as it is read."""
        return _Scaled(self, factor)

    @cached_property
    def norms(self) -> Norms:
        """Of its rows, which are read for that once."""
        return Norms(self)

    @property
    def longest(self) -> float:
        """A length that no row has more than, but for rounding."""
        return self.norms.largest

    @cached_property
    def largest(self) -> float:
        """The largest size of its numbers."""
        return max(map_blocks(self, lambda _, block: float(np.abs(block).max())), default=0.0)

    @abstractmethod
    def read_rows(self, start: int, stop: int) -> Float32Array:
        """Return rows, in memory of their own, float32 (stop - start, dim)."""

    @abstractmethod
    def gather(self, rows: Int64Array) -> Float32Array:
        """Return rows, rising and each once, int64 (n,), in memory of their own, float32 (n, dim)."""


class Norms:
    """The longest of a table's rows, and whether it holds numbers at all.

    Attributes:
        largest: ‖v‖ of the longest row; infinite or NaN where a row is not finite.
        row: the longest one, or the first that is not finite.
    """

    def __init__(self, table: Table) -> None:
        """Read a table once."""
        self.largest, self.row = 0.0, 0
        for largest, row in map_blocks(table, _longest_row):
            if not largest <= self.largest:  # NaN is not
                self.largest, self.row = largest, row
            if not np.isfinite(largest):
                return


def _longest_row(start: int, block: Float32Array) -> tuple[float, int]:
    """Return ‖v‖ and the number of the longest row of a block, or of the first one that is not finite."""
    wide = block.astype(np.float64)
    norms = np.sqrt(np.einsum("nl,nl->n", wide, wide))
    row = int(norms.argmax())
    if not np.isfinite(norms[row]):
        row = int(np.flatnonzero(~np.isfinite(norms))[0])
    return float(norms[row]), start + row


Table = Float32Array | DiskTable
"""A table of embeddings, float32 (rows, dim), in memory or on the disk."""


def blocks(table: Table, rows: int = BLOCK_ROWS) -> Iterator[tuple[int, Float32Array]]:
    """Yield the blocks of a table, float32 (n, dim), with the number of their first row."""
    for start in range(0, len(table), rows):
        yield start, table[start : start + rows]


def largest_of_rows(table: Table) -> Float32Array:
    """Return the largest size of the numbers of each row, float32 (rows,), of a table, float32 (rows, dim)."""
    found = np.empty(len(table), dtype=np.float32)

    def note(start: int, block: Float32Array) -> None:
        sizes = np.abs(block)
        while sizes.shape[1] > 1:  # halves at once: along short rows numpy is slow
            half = (sizes.shape[1] + 1) // 2
            sizes = np.maximum(sizes[:, :half], sizes[:, -half:])
        found[start : start + len(block)] = sizes[:, 0]

    deque(map_blocks(table, note), maxlen=0)
    if isinstance(table, DiskTable):
        table.__dict__["largest"] = float(found.max(initial=0))  # so that nobody reads it for that
    return found


def map_blocks(table: Table, work: Callable[[int, Float32Array], Result], rows: int = PASS_ROWS) -> Iterator[Result]:
    """Yield what a function makes of each block of a table and the number of its first row, in order.

    Blocks of a table on the disk are read and worked on side by side.

    Args:
        table: float32 (rows, dim).
        work: called with the number of the first row and the block, float32 (n, dim).
        rows: of a block.
    """
    threads = min(_MOST_THREADS, usable_cores(), -(-len(table) // rows))
    if threads <= 1 or not isinstance(table, DiskTable):
        yield from (work(start, block) for start, block in blocks(table, rows))
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for start in range(0, len(table), rows):
            waiting.append(pool.submit(lambda first: work(first, table[first : first + rows]), start))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def largest_number(table: Table) -> float:
    """Return the largest size of a table's numbers, float32 of any shape; 0 where there are none."""
    return table.largest if isinstance(table, DiskTable) else float(np.abs(table).max(initial=0))


def part_of(table: Table, rows: slice) -> Table:
    """Return a part of a table: a view, of which nothing is read."""
    return table.within(rows) if isinstance(table, DiskTable) else table[rows]


def rows_of(table: Table, rows: Int64Array) -> Table:
    """Return some rows of a table, rising, int64 (n,): in memory where it is, else as a table on the disk."""
    return table.taken(rows) if isinstance(table, DiskTable) else table[rows]


def turned(table: Table, axes: Float32Array) -> Table:
    """Return a table along other axes, float32 (dim, dim): in memory where it is, else multiplied when it is read."""
    return table.turned(axes) if isinstance(table, DiskTable) else np.ascontiguousarray(table @ axes)


def scaled_table(table: Table, factor: float) -> Table:
    """Return a table, float32 (rows, dim), times a number: in memory where it is, else multiplied when it is read."""
    return table.scaled(factor) if isinstance(table, DiskTable) else table * np.float32(factor)


def whole(table: Table) -> Float32Array:
    """Return all of a table in memory, float32 (rows, dim): for what cannot do with less."""
    return table[:] if isinstance(table, DiskTable) else table


def zeroed(table: Table, rows: Sequence[int]) -> Table:
    """Return a table, float32 (rows, dim), some of whose rows are zeros; one in memory is changed."""
    if isinstance(table, DiskTable):
        return _Zeroed(table, np.array(sorted(rows), dtype=np.int64)) if rows else table
    table[list(rows)] = 0
    return table


def on_disk(sources: Sequence[RowSource]) -> DiskTable:
    """Return the rows of several sources, one after the other, as a table on the disk."""
    return _Parts(sources)


class _Parts(DiskTable):
    """The rows of several sources, one after the other; what they store in other floats is read as float32."""

    def __init__(self, sources: Sequence[RowSource]) -> None:
        self._sources = tuple(sources)
        self._starts = np.cumsum([0, *(source.shape[0] for source in sources)])
        super().__init__(int(self._starts[-1]), int(sources[0].shape[1]))

    def read_rows(self, start: int, stop: int) -> Float32Array:
        first = max(int(np.searchsorted(self._starts, start, side="right")) - 1, 0)
        found = []
        for source, before in zip(self._sources[first:], self._starts[first:].tolist(), strict=False):
            if before >= stop:
                break
            own = source.read_rows(max(start - before, 0), min(stop - before, source.shape[0]))
            found.append(_as_float32(own))
        if len(found) == 1:
            return found[0]
        return np.concatenate([np.empty((0, self.shape[1]), np.float32), *found])

    def gather(self, rows: Int64Array) -> Float32Array:
        found = np.empty((len(rows), self.shape[1]), np.float32)
        at = 0
        while at < len(rows):
            near = int(np.searchsorted(rows, rows[at] + _GATHER_ROWS))
            own = rows[at:near]
            if near - at >= _DENSE:
                first = int(own[0])
                found[at:near] = self.read_rows(first, int(own[-1]) + 1)[own - first]
            else:
                for place, row in enumerate(own.tolist(), start=at):
                    found[place] = self.read_rows(row, row + 1)[0]
            at = near
        return found


class _Within(DiskTable):
    """Neighbouring rows of a table."""

    def __init__(self, table: DiskTable, start: int, stop: int) -> None:
        super().__init__(stop - start, table.shape[1])
        self._table, self._start = table, start

    def read_rows(self, start: int, stop: int) -> Float32Array:
        return self._table.read_rows(self._start + start, self._start + stop)

    def gather(self, rows: Int64Array) -> Float32Array:
        return self._table.gather(rows + self._start)


class _Turned(DiskTable):
    """A table along other axes."""

    def __init__(self, table: DiskTable, axes: Float32Array) -> None:
        super().__init__(*table.shape)
        self._table, self._axes = table, axes

    def _part(self, start: int, stop: int) -> DiskTable:
        return self._table.within(slice(start, stop)).turned(self._axes)

    @property
    def longest(self) -> float:
        return self._table.longest * float(np.linalg.norm(self._axes, 2))

    def read_rows(self, start: int, stop: int) -> Float32Array:
        return self._along_axes(self._table.read_rows(start, stop))

    def gather(self, rows: Int64Array) -> Float32Array:
        return self._along_axes(self._table.gather(rows))

    def _along_axes(self, rows: Float32Array) -> Float32Array:
        if len(rows) == 1:  # a product of a vector adds up in another order
            return (np.repeat(rows, 2, axis=0) @ self._axes)[:1]
        return np.asarray(rows @ self._axes)


class _Scaled(DiskTable):
    """A table times a number."""

    def __init__(self, table: DiskTable, factor: float) -> None:
        super().__init__(*table.shape)
        self._table, self._factor = table, np.float32(factor)

    def _part(self, start: int, stop: int) -> DiskTable:
        return self._table.within(slice(start, stop)).scaled(float(self._factor))

    @cached_property
    def norms(self) -> Norms:
        found = copy(self._table.norms)
        found.largest *= float(self._factor)
        return found

    def read_rows(self, start: int, stop: int) -> Float32Array:
        return self._table.read_rows(start, stop) * self._factor

    def gather(self, rows: Int64Array) -> Float32Array:
        return self._table.gather(rows) * self._factor


class _Zeroed(DiskTable):
    """A table some of whose rows, int64 (n,), are zeros, whatever is stored."""

    def __init__(self, table: DiskTable, zeros: Int64Array) -> None:
        super().__init__(*table.shape)
        self._table, self._zeros = table, zeros

    def read_rows(self, start: int, stop: int) -> Float32Array:
        found = self._table.read_rows(start, stop)
        found[self._zeros[slice(*np.searchsorted(self._zeros, [start, stop]))] - start] = 0
        return found

    def gather(self, rows: Int64Array) -> Float32Array:
        found = self._table.gather(rows)
        found[np.isin(rows, self._zeros)] = 0
        return found


class _Taken(DiskTable):
    """Some rows of a table: a byte for each of the rows there are tells whether it is one."""

    def __init__(self, table: DiskTable, rows: Int64Array) -> None:
        super().__init__(len(rows), table.shape[1])
        self._table = table
        self._is_taken = np.zeros(len(table), dtype=np.bool_)
        self._is_taken[rows] = True
        places = np.arange(0, len(table) + _MASK_ROWS, _MASK_ROWS)
        self._before = np.searchsorted(rows, places)

    def read_rows(self, start: int, stop: int) -> Float32Array:
        if stop <= start:
            return np.empty((0, self.shape[1]), np.float32)
        first, last = np.searchsorted(self._before, [start, stop - 1], side="right") - 1
        rows = np.flatnonzero(self._is_taken[first * _MASK_ROWS : (last + 1) * _MASK_ROWS]) + first * _MASK_ROWS
        return self._table.gather(rows[start - self._before[first] : stop - self._before[first]])

    def gather(self, rows: Int64Array) -> Float32Array:
        parts = np.searchsorted(self._before, rows, side="right") - 1
        found = np.empty_like(rows)
        for part in np.unique(parts).tolist():
            own = slice(*np.searchsorted(parts, [part, part + 1]))
            first = part * _MASK_ROWS
            taken = np.flatnonzero(self._is_taken[first : first + _MASK_ROWS])
            found[own] = first + taken[rows[own] - self._before[part]]
        return self._table.gather(found)


def _as_float32(values: AnyArray) -> Float32Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, np.float32, order="C")
