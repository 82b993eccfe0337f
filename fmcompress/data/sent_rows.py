"""Rows that processes send each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmcompress.data.batch import Batch, concatenate
from fmcompress.fm.bags import Bag
from fmcompress.fm.schema import Schema
from fmcompress.processes.world import World
from fmcompress.types import Int32Array


def no_rows(schema: Schema) -> Batch:
    """Return a batch without rows."""
    ids = np.empty((0, len(schema.id_names)), dtype=np.int32)
    bags = {name: Bag(np.zeros(1, np.int64), np.empty(0, np.int32)) for name in schema.poolings}
    return Batch(ids, np.empty(0, np.float32), np.empty((0, len(schema.numeric)), np.float32), bags=bags)


def exchange_rows(world: World, batches: Sequence[Batch]) -> Batch:
    """Send rows to each process, and return those that all have sent to this one, process by process.

    Args:
        world: the processes.
        batches: for each of them.
    """
    numbers = world.exchange([_numbers_of(batch) for batch in batches])
    found = [_batch_of(own, batches[0]) for own in numbers]
    bags = {name: _exchanged(world, [batch.bags[name] for batch in batches]) for name in batches[0].bags}
    return concatenate(
        [
            Batch(rows.ids, rows.labels, rows.values, bags={name: bags[name][rank] for name in bags})
            for rank, rows in enumerate(found)
        ]
    )


def _numbers_of(batch: Batch) -> Int32Array:
    """Return ids, labels and values of rows side by side, int32 (rows, columns)."""
    columns = [batch.ids, batch.labels[:, None].view(np.int32), np.ascontiguousarray(batch.values).view(np.int32)]
    return np.concatenate(columns, axis=1)


def _batch_of(numbers: Int32Array, like: Batch) -> Batch:
    """Return the rows of ``_numbers_of``, but for bags, in a batch with columns as another one has."""
    ids = like.ids.shape[1]
    labels, values = numbers[:, ids].copy(), numbers[:, ids + 1 :].copy()
    return Batch(numbers[:, :ids], labels.view(np.float32), values.view(np.float32))


def _exchanged(world: World, bags: Sequence[Bag]) -> list[Bag]:
    """Return what ``World.exchange`` does, of bags of one field."""
    counts = world.exchange([bag.counts for bag in bags])
    ids = world.exchange([bag.ids for bag in bags])
    # One process may have weights where another has none.
    weights = world.exchange(
        [np.ones(len(bag.ids), np.float32) if bag.weights is None else bag.weights for bag in bags]
    )
    return [
        Bag(np.concatenate(([0], np.cumsum(of_rows))), values, None if (factors == 1).all() else factors)
        for of_rows, values, factors in zip(counts, ids, weights, strict=True)
    ]
