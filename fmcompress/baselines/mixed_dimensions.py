"""MD: embeddings of mixed dimensions (Ginart et al., 2019), fewer for fields of many categories.

A field of n_f categories has embeddings of size

    d_f = d · (n_min / n_f)^α,   α = 0.2

rounded, at least 1, and a projection to the base dimension d where d_f is less: each category of a field is as popular
as 1 / n_f on average, which is the popularity that the paper takes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fmcompress.baselines.composed import ComposedTable, Form, largest_that_fits, on_source
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, Float16Array, Float32Array, Int64Array

ALPHA = 0.2
"""The temperature of the paper."""
_MOST_TIMES_DIM = 4
_STD = 0.1


def mixed_dimension_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the largest base dimension that meets it."""
    return best_points(key, task, partial(_forms, task))


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    schema = task.source.schema
    dims = range(_MOST_TIMES_DIM * task.source.dim, 0, -1)
    dim = largest_that_fits(dims, partial(_empty, schema), task, budget_bytes)
    return [] if dim is None else [Form("", f"MD, base dim {dim}", on_source(task, partial(_begin, task, dim)))]


def mixed_dims(cardinalities: Int64Array, dim: int, alpha: float = ALPHA) -> Int64Array:
    """Return the embedding size of each field, int64 (fields,).

    Args:
        cardinalities: int64 (fields,).
        dim: the base dimension d, which the field with the fewest categories has.
        alpha: 0 gives all fields the same size.
    """
    sizes = dim * (cardinalities.min() / cardinalities) ** alpha
    rounded: Int64Array = np.maximum(1, np.rint(sizes)).astype(np.int64)
    return rounded


@dataclass(frozen=True)
class MixedRows:
    """Embeddings of mixed dimensions as a file holds them.

    Attributes:
        schema: the fields.
        dim: the base dimension.
        values: embeddings of all fields one after the other, float16 (numbers,).
        projections: of all fields that have one, float16 (numbers,).
    """

    schema: Schema
    dim: int
    values: Float16Array
    projections: Float16Array

    def arrays(self) -> dict[str, AnyArray]:
        """Return embeddings and projections, float16 (numbers,) each."""
        return {"values": self.values, "projections": self.projections}

    def decode(self) -> Float32Array:
        """Return the table, float32 (categories, dim)."""
        dims = mixed_dims(self.schema.cardinalities, self.dim)
        ends = np.concatenate([[0], np.cumsum(self.schema.cardinalities * dims)])
        decoded, used = [], 0
        for own, (start, end) in zip(dims.tolist(), pairwise(ends.tolist()), strict=True):
            table = self.values[start:end].reshape(-1, own).astype(np.float32)
            if own < self.dim:
                projection = self.projections[used : used + own * self.dim].reshape(own, self.dim)
                table, used = table @ projection.astype(np.float32), used + own * self.dim
            decoded.append(table)
        return np.concatenate(decoded)


class MixedTable(ComposedTable):
    """Embeddings of mixed dimensions in training.

    Attributes:
        values: of each field, float32 (cardinality, its dim).
        projections: of each field with less than the base dimension, float32 (its dim, dim).
    """

    def __init__(self, schema: Schema, dim: int, counts: Int64Array, generator: torch.Generator) -> None:
        """Draw small embeddings, and projections that keep lengths.

        Args:
            schema: the fields.
            dim: the base dimension.
            counts: rows in which each category is active, int64 (categories,); those that are never seen stay zero.
            generator: draws them.
        """
        super().__init__(schema)
        self.dim = dim
        self._dims = mixed_dims(schema.cardinalities, dim).tolist()
        drawn = partial(torch.randn, generator=generator)
        seen = [torch.from_numpy(own > 0)[:, None] for own in schema.split(counts)]
        tables = zip(self._dims, seen, strict=True)
        self.values = nn.ParameterList([drawn(len(own_seen), own) * _STD * own_seen for own, own_seen in tables])
        self.projections = nn.ParameterDict(
            {str(f): drawn(own, dim) / own**0.5 for f, own in enumerate(self._dims) if own < dim}
        )

    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, dim), of row numbers from small to large, int64 (n,)."""
        found = []
        for number, own in enumerate(self.by_field(rows)):
            vectors = embedding(own - int(self.schema.offsets[number]), self.values[number], sparse=sparse)
            found.append(vectors @ self.projections[str(number)] if str(number) in self.projections else vectors)
        return torch.cat(found)

    def tables(self) -> list[nn.Parameter]:
        """Return the embeddings."""
        return list(self.values)

    def stored(self) -> MixedRows:
        """Return the table as a file holds it."""
        return MixedRows(self.schema, self.dim, _joined(self.values), _joined(self.projections.values()))


def _joined(parts: Iterable[Tensor]) -> Float16Array:
    arrays = [part.detach().cpu().numpy().astype(np.float16).ravel() for part in parts]
    return np.concatenate([np.zeros(0, np.float16), *arrays])


def _begin(task: Task, dim: int) -> MixedTable:
    return MixedTable(task.source.schema, dim, task.counts, torch.Generator().manual_seed(task.options.seed))


def _empty(schema: Schema, dim: int) -> MixedRows:
    dims = mixed_dims(schema.cardinalities, dim)
    projected = int(dims[dims < dim].sum()) * dim
    values = np.zeros(int(schema.cardinalities @ dims), np.float16)
    return MixedRows(schema, dim, values, np.zeros(projected, np.float16))
