"""The values of a sample of rows, sorted by the categories of a tier; see ``reassignment``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.devices.working import working_device
from fmcompress.fm.bags import Bag
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import stacked
from fmcompress.fm.tiers import Tiers
from fmcompress.processes.world import World
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array

# What the codes of a category take to be found, beside its derivatives, in rows of these.
_ROWS_OF_DESCENT = 8


@dataclass(frozen=True)
class Pooled:
    """The values of one tier that are in the bags of one field.

    Attributes:
        own: which of all values they are, bool (n,).
        embedding: what their embeddings are multiplied by, 0 for other values, float32 (n,).
        linear: what their linear weights are multiplied by, 0 for other values, float32 (n,).
        each: whether each is a term of its own.
    """

    own: BoolArray
    embedding: Float32Array
    linear: Float32Array
    each: bool


@dataclass(frozen=True)
class Values:
    """All values of a sample: those of the stacked rows, then those of bags.

    Attributes:
        ids: of each tier, -1 where a value is of another one, int32 (uses · rows, tiers).
        rows: number of rows.
        tiers: how the fields are split.
        bags: of each field with several values in a row its place in ``Schema.id_names``, its values, its pooling and
            their ids of each tier, int32 (values, tiers of its table), the first of which is the tier named.
    """

    ids: Int32Array
    rows: int
    tiers: Tiers
    bags: list[tuple[int, Bag, Pooling, int, Int32Array]]

    @classmethod
    def of(cls, sample: Batch, tiers: Tiers) -> Values:
        """Return the values of a sample."""
        schema, bags = tiers.schema, []
        for name, bag in sample.bags.items():
            column = schema.id_names.index(name)
            table = int(schema.tables[column])
            own = tiers.of_field(table, bag.ids)
            bags.append((column, bag, schema.poolings[name], int(np.argmax(tiers.field_of == table)), own))
        return cls(tiers.ids(stacked(sample.ids, schema)), len(sample), tiers, bags)

    def by_category(self, tier: int) -> tuple[Int64Array, Int64Array, Int64Array, dict[int, Pooled]]:
        """Return categories in a tier, rising, their rows and columns, int64 (n,) each, and which of them are bags'."""
        uses = np.flatnonzero(self.tiers.schema.tables == self.tiers.field_of[tier])
        ids, rows = [self.ids[: len(uses) * self.rows, tier]], [np.tile(np.arange(self.rows), len(uses))]
        columns = [np.repeat(uses, self.rows)]
        found: list[tuple[int, Bag, Pooling, int]] = []
        for column, bag, pooling, first, own in self.bags:
            if first <= tier < first + own.shape[1]:
                found.append((column, bag, pooling, sum(map(len, ids))))
                ids.append(own[:, tier - first])
                rows.append(bag.rows)
                columns.append(np.full(len(bag.ids), column))
        every, of_rows = np.concatenate(ids), np.concatenate(rows)
        present = np.flatnonzero(every >= 0)
        order = present[stable_order(every[present])]
        pooled = {}
        for column, bag, pooling, start in found:
            in_bag = (order >= start) & (order < start + len(bag.ids))
            embedding, linear = np.zeros((2, len(order)), dtype=np.float32)
            for factors, values in zip((embedding, linear), bag.coefficients(pooling), strict=True):
                factors[in_bag] = values[order[in_bag] - start]
            pooled[column] = Pooled(in_bag, embedding, linear, pooling.each)
        return every[order].astype(np.int64), of_rows[order], np.concatenate(columns)[order], pooled


def stable_order(keys: Int32Array) -> Int64Array:
    """Return the places of keys, int32 (n,), in rising order, equal ones as they stand, int64 (n,).

    They are sorted on the device that heavy work is done on.
    """
    device = working_device()
    if device is None:
        return np.argsort(keys, kind="stable")
    import torch

    from fmcompress.devices.moving import moved

    found: Int64Array = torch.argsort(moved(keys, device), stable=True).cpu().numpy()
    return found


def share_of(sorted_categories: Int64Array, categories: int, world: World) -> slice:
    """Return the categories, of so many, that this process assigns anew: all of them take equally long.

    Args:
        sorted_categories: of the sorted values, rising, int64 (n,).
        categories: number of categories.
        world: the processes.
    """
    work = np.cumsum(np.bincount(sorted_categories, minlength=categories) + _ROWS_OF_DESCENT)
    shares = [World(rank, world.size).share(int(work[-1])) for rank in range(world.size)]
    starts = [*np.searchsorted(work, [share.start for share in shares]).tolist(), categories]
    return slice(starts[world.rank], starts[world.rank + 1])
