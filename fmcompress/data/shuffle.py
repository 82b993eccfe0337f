"""Rows in random order, through a buffer of bounded size; several processes read, and get, a part each.

The order hangs on the rows and the seed alone: each batch is of the same rows whatever the number of processes. Each
process reads the rows of its part (see ``Rows.part``), so that all are read once, and sends them to the process whose
share of a batch they are in: some bytes a row, where a step's gradients have millions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.sent_rows import exchange_rows, no_rows
from fmcompress.errors import DataError
from fmcompress.processes.world import World, this_process
from fmcompress.types import Int16Array, Int64Array

BUFFER_BYTES = 64 * 2**20
_SENT_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Shares:
    """Which rows of each batch a process gets, where there are several.

    Attributes:
        whole: whether each gets all rows.
        filled: whether one that would get none, in a batch of fewer rows than processes, gets one of another, with
            ``Batch.weight`` 0.
    """

    whole: bool = False
    filled: bool = False

    def of(self, rank: int, size: int, batch_rows: int) -> tuple[slice, float]:
        """Return the rows of one of several processes in a batch of so many, and their weight in it."""
        if self.whole:
            return slice(0, batch_rows), 1.0
        own = World(rank, size).share(batch_rows)
        if own.start == own.stop and self.filled:
            return slice(0, 1), 0.0
        return own, (own.stop - own.start) / batch_rows


EQUAL, FILLED, WHOLE = Shares(), Shares(filled=True), Shares(whole=True)


def shuffled(
    rows: Rows, batch_rows: int, *, seed: int, buffer_bytes: int = BUFFER_BYTES, shares: Shares = EQUAL
) -> Iterator[Batch]:
    """Yield all rows once, in random order, in batches of ``batch_rows`` (the last one may be shorter).

    Row groups, or chunks of text, are read in random order into a buffer; a full buffer is permuted and half of it
    goes out, so that rows mix across row groups. Data that fit the buffer are permuted perfectly. Memory: at most some
    three times ``buffer_bytes``, however many rows there are, if those read together have as many values as others.

    Args:
        rows: the data.
        batch_rows: rows of a batch, of all processes together.
        seed: the same seed gives the same order.
        buffer_bytes: size of the buffer, of all processes together.
        shares: which rows of each batch this process gets.
    """
    world, rng = this_process(), np.random.default_rng(seed)
    read = _ReadRows(rows, world, rows.sizes_in_order(rng, world.size), seed)
    row_bytes = _row_bytes(rows)
    buffer_rows = max(2 * batch_rows, int(buffer_bytes / row_bytes))
    out_rows = max(1, buffer_rows // 2 // batch_rows) * batch_rows
    group = max(1, int(_SENT_BYTES / row_bytes) // batch_rows) * batch_rows
    held = _Block(no_rows(rows.schema), None if world.alone else np.empty(0, np.int16))
    while read.left:
        block = held.joined(read.next(min(buffer_rows - len(held), read.left)))
        order = rng.permutation(len(block))
        out, kept = (order[:out_rows], order[out_rows:]) if read.left else (order, order[:0])
        held = block.take(kept)
        if world.alone:
            yield from (block.rows.take(out[first : first + batch_rows]) for first in range(0, len(out), batch_rows))
            continue
        for first in range(0, len(out), group):
            yield from _shared(block, out[first : first + group], batch_rows, world, shares)


def _row_bytes(rows: Rows) -> float:
    """Return what a row takes in memory; how many values it has in bags there is no telling, but for the counts."""
    return rows.summary.nbytes / rows.rows if rows.schema.poolings else 4 * (len(rows.schema.order) + 1)


@dataclass(frozen=True)
class _Block:
    """Rows that all processes hold together, in one order.

    Attributes:
        rows: those that this one holds.
        owners: process that holds each, int16 (all rows,); None where there is one.
    """

    rows: Batch
    owners: Int16Array | None

    def __len__(self) -> int:
        return len(self.rows) if self.owners is None else len(self.owners)

    def joined(self, more: _Block) -> _Block:
        """Return these rows and then more."""
        rows = concatenate([self.rows, more.rows]) if len(self.rows) else more.rows
        if self.owners is None or more.owners is None:
            return _Block(rows, None)
        return _Block(rows, np.concatenate([self.owners, more.owners]))

    def take(self, positions: Int64Array) -> _Block:
        """Return the rows at these positions of all, int64 (n,)."""
        if self.owners is None:
            return _Block(self.rows.take(positions), None)
        return _Block(self.rows.take(self.held_at(positions, this_process().rank)), self.owners[positions])

    def held_at(self, positions: Int64Array, rank: int) -> Int64Array:
        """Return which of its rows a process holds at these positions of all, int64 (n,); others' are left out."""
        own = np.asarray(self.owners) == rank
        places = np.cumsum(own) - 1
        return np.asarray(places[positions[own[positions]]])


class _ReadRows:
    """The rows of all parts as they are read, in one order.

    Attributes:
        left: how many have not been read.
    """

    def __init__(self, rows: Rows, world: World, sizes: Int64Array, seed: int) -> None:
        """Read the part of this process.

        Args:
            rows: all rows.
            world: the processes.
            sizes: rows of each chunk, in the order of reading, that belong to each part, int64 (chunks, parts).
            seed: of that order.
        """
        part = rows if world.alone else rows.part(world.rank, world.size)
        self._batches = part.batches(order=np.random.default_rng(seed))
        self._schema = rows.schema
        self._rank = None if world.alone else world.rank
        self._ends = np.cumsum(sizes)
        self._owners = np.tile(np.arange(world.size, dtype=np.int16), len(sizes))
        self._read = 0
        self._ahead: Batch | None = None
        self.left = int(self._ends[-1]) if len(self._ends) else 0

    def next(self, count: int) -> _Block:
        """Return the next rows of all, so many."""
        self.left -= count
        if self._rank is None:
            return _Block(self._own(count), None)
        stops = np.clip(self._ends, self._read, self._read + count)
        owners = np.repeat(self._owners, np.diff(stops, prepend=self._read))
        self._read += count
        return _Block(self._own(int((owners == self._rank).sum())), owners)

    def _own(self, count: int) -> Batch:
        """Return the next rows of this process's part, so many."""
        found = []
        while count:
            batch = self._ahead or next(self._batches, None)
            if batch is None:
                raise DataError("rows are missing that were there before: the files change while they are read")
            self._ahead = batch.take(slice(count, None)) if len(batch) > count else None
            found.append(batch.take(slice(count)) if len(batch) > count else batch)
            count -= len(found[-1])
        return concatenate(found) if found else no_rows(self._schema)


def _shared(block: _Block, positions: Int64Array, batch_rows: int, world: World, shares: Shares) -> Iterator[Batch]:
    """Yield this process's shares of some batches.

    Args:
        block: the rows that all hold.
        positions: those of the batches, int64 (n,).
        batch_rows: rows of each batch, but for the last.
        world: the processes.
        shares: which rows each gets.
    """
    batches = [positions[first : first + batch_rows] for first in range(0, len(positions), batch_rows)]
    wanted = [[shares.of(rank, world.size, len(own)) for own in batches] for rank in range(world.size)]
    places = [
        np.concatenate([own[rows] for own, (rows, _) in zip(batches, of_process, strict=True)]) for of_process in wanted
    ]
    sent = [block.rows.take(block.held_at(own, world.rank)) for own in places]
    received = exchange_rows(world, sent)
    # They come process by process, and those of one in the order of their places.
    order = np.empty(len(received), dtype=np.int64)
    owners = block.owners if block.owners is not None else np.zeros(len(block), np.int16)
    order[np.argsort(owners[places[world.rank]], kind="stable")] = np.arange(len(received))
    first = 0
    for rows, weight in wanted[world.rank]:
        count = rows.stop - rows.start
        yield replace(received.take(order[first : first + count]), weight=weight)
        first += count
