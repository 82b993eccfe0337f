"""What errors cost on rows of data, summed up batch by batch; see ``sensitivity``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorers import scorer_of
from fmcompress.processes.world import World
from fmcompress.types import Float64Array

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch


@dataclass(frozen=True)
class Moments:
    """Sums over rows; they change in place.

    Attributes:
        hessians: Σ c (S − v_i)(S − v_i)ᵀ of each table, float64 (tables, dim, dim).
        curvatures: Σ c of each table, float64 (tables,).
        present_rows: rows in which each table has a category, or of bags their values, float64 (tables,).
        bag_values: values that bags look up in each table, float64 (tables,).
    """

    hessians: Float64Array
    curvatures: Float64Array
    present_rows: Float64Array
    bag_values: Float64Array

    @classmethod
    def none(cls, schema: Schema, dim: int) -> Moments:
        """Return the sums over no rows."""
        tables = len(schema)
        return cls(np.zeros((tables, dim, dim)), np.zeros(tables), np.zeros(tables), np.zeros(tables))

    def of_all(self, world: World) -> Moments:
        """Return the sums over the rows of all processes."""
        return Moments(*(world.total(getattr(self, one.name)) for one in fields(self)))


class HostMoments:
    """Sums them with numpy."""

    def __init__(self, checkpoint: FMCheckpoint) -> None:
        """Begin with no rows of a factorization machine, perhaps with a network."""
        self._schema, self._link = checkpoint.schema, checkpoint.link_function
        self._scorer = scorer_of(checkpoint)
        self._sums = Moments.none(checkpoint.schema, checkpoint.dim)

    def add(self, batch: Batch) -> None:
        """Add the rows of a batch."""
        schema, sums = self._schema, self._sums
        scored = self._scorer.score(batch.ids, batch.values, batch.bags)
        root = np.sqrt(self._link.curvatures(scored.logits.astype(np.float64))).astype(np.float32)
        for column, (name, field) in enumerate(zip(schema.id_names, schema.tables.tolist(), strict=True)):
            bag = batch.bags.get(name)
            if bag is None:
                present = batch.ids[:, column] >= 0
                slopes, linear = scored.slopes(column)[present] * root[present, None], root[present]
            else:
                own, pooling = root[bag.rows], schema.poolings[name]
                slopes = scored.value_slopes(column, bag, pooling) * own[:, None]
                linear = own * bag.coefficients(pooling)[1]
                sums.bag_values[field] += len(bag.ids)
            sums.hessians[field] += slopes.T @ slopes
            sums.curvatures[field] += float((linear**2).sum(dtype=np.float64))
            sums.present_rows[field] += len(slopes)

    def sums(self) -> Moments:
        """Return the sums over all rows so far."""
        return self._sums
