"""What a model in training is given of a batch: ids of its parts, what numeric fields add, and how bags are pooled."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from fmcompress.data.batch import Batch
from fmcompress.fm.bags import Bag
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import MISSING, Schema, stacked, uses_of
from fmcompress.fm.tiers import Tiers
from fmcompress.types import Float32Array, Int32Array, Int64Array


@dataclass(frozen=True)
class PooledValues:
    """The values of the fields that may have several in a row, and how they are pooled.

    The bags stand row by row, and in a row field by field: bag b is that of row ``b // fields``.

    Attributes:
        starts: first value of each bag, int64 (rows · fields,).
        embedding: what each value's embedding is multiplied by, float32 (values,).
        linear: what its linear weight is multiplied by, float32 (values,).
        each: 1 for a value that is a term of its own, else 0, float32 (values,).
        pooled: 0 for a field whose values are terms of their own, else 1, float32 (fields,).
    """

    starts: Tensor
    embedding: Tensor
    linear: Tensor
    each: Tensor
    pooled: Tensor

    def add(self, vectors: Tensor, norms: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return what bags add to the sums of vectors, float32 (rows, dim), and to logits beside, float32 (rows,).

        Args:
            vectors: of each value, float32 (values, dim).
            norms: −½ of their squared norms, float32 (values,).
            linear: its linear weight, float32 (values,).
        """
        fields = len(self.pooled)
        scalars = linear * self.linear + norms * self.embedding**2 * self.each
        joined = torch.cat([vectors * self.embedding[:, None], scalars[:, None]], dim=1)
        sums = embedding_bag(torch.arange(len(joined), device=joined.device), joined, self.starts, mode="sum")
        bags = sums.view(-1, fields, sums.shape[1])
        pooled = bags[:, :, :-1]
        squares = (pooled * pooled).sum(dim=2) @ self.pooled
        return pooled.sum(dim=1), bags[:, :, -1].sum(dim=1) - 0.5 * squares


@dataclass(frozen=True)
class Inputs:
    """A batch for a model in training.

    Attributes:
        ids: category in each part, -1 where it has none, int64 (uses · rows + values, parts): stacked, see
            ``fm.schema``, and then a row for each value in a bag.
        uses: how many fields look up the same table, at most.
        numeric: what the numeric fields add to the sum of vectors, float32 (rows, dim), and to the logit beside,
            float32 (rows,); None where there are none.
        bags: how the values of bags are pooled; None where no field has several in a row.
    """

    ids: Tensor
    uses: int = 1
    numeric: tuple[Tensor, Tensor] | None = None
    bags: PooledValues | None = None

    def summed(self, vectors: Tensor, norms: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return S, float32 (rows, dim), and what bias and ½ ‖S‖² are added to in a logit, float32 (rows,).

        Args:
            vectors: Σ q_i of each row of ``ids``, float32 (uses · rows + values, dim).
            norms: its −½ Σ ‖q_i‖², float32 (uses · rows + values,).
            linear: its Σ w_i, float32 (uses · rows + values,).
        """
        own = len(self.ids) if self.bags is None else len(self.ids) - len(self.bags.embedding)
        total, scalars = self._over_uses(vectors[:own]), self._over_uses((linear + norms)[:own])
        added = [] if self.numeric is None else [self.numeric]
        if self.bags is not None:
            added.append(self.bags.add(vectors[own:], norms[own:], linear[own:]))
        for more_vectors, more_scalars in added:
            total, scalars = total + more_vectors, scalars + more_scalars
        return total, scalars

    def _over_uses(self, values: Tensor) -> Tensor:
        return values if self.uses == 1 else values.view(self.uses, -1, *values.shape[1:]).sum(dim=0)


@dataclass(frozen=True)
class InputsOf:
    """Turns batches into inputs.

    Attributes:
        tiers: how the fields are cut into parts.
        numeric: weights of the numeric fields, which are not trained.
        device: where inputs are wanted.
    """

    tiers: Tiers
    numeric: NumericWeights
    device: str

    def __call__(self, batch: Batch) -> Inputs:
        """Return the inputs of a batch."""
        schema = self.tiers.schema
        values = [] if not batch.bags else [_values(batch.bags, schema)]
        ids = self.tiers.ids(np.concatenate([stacked(batch.ids, schema), *values])).astype(np.int64)
        numeric = self.numeric.contributions(batch.values) if len(self.numeric) else None
        return Inputs(
            self._moved(ids),
            uses_of(schema),
            None if numeric is None else (self._moved(numeric[0]), self._moved(numeric[1])),
            self._pooled(batch.bags, schema) if batch.bags else None,
        )

    def _pooled(self, bags: Mapping[str, Bag], schema: Schema) -> PooledValues:
        order = _order(bags)
        poolings = [schema.poolings[name] for name in bags]
        factors = [bag.coefficients(pooling) for bag, pooling in zip(bags.values(), poolings, strict=True)]
        each = [np.full(len(bag.ids), pooling.each) for bag, pooling in zip(bags.values(), poolings, strict=True)]
        counts = np.stack([bag.counts for bag in bags.values()], axis=1).ravel()
        return PooledValues(
            self._moved(np.cumsum(counts) - counts),
            self._moved(np.concatenate([embedding for embedding, _ in factors])[order]),
            self._moved(np.concatenate([linear for _, linear in factors])[order]),
            self._moved(np.concatenate(each)[order].astype(np.float32)),
            self._moved(np.array([not pooling.each for pooling in poolings], dtype=np.float32)),
        )

    def _moved(self, values: Float32Array | Int64Array) -> Tensor:
        return torch.from_numpy(values).to(self.device)


def _order(bags: Mapping[str, Bag]) -> Int64Array:
    """Return the places of the values of all bags, field after field, in the order of their rows, int64 (values,)."""
    return np.argsort(np.concatenate([bag.rows for bag in bags.values()]), kind="stable")


def _values(bags: Mapping[str, Bag], schema: Schema) -> Int32Array:
    """Return a row for each value of bags, with nothing but its own table's column filled, int32 (values, tables)."""
    order = _order(bags)
    column = [int(schema.tables[schema.id_names.index(name)]) for name in bags]
    columns = np.repeat(column, [len(bag.ids) for bag in bags.values()])[order]
    found = np.full((len(order), len(schema)), MISSING, dtype=np.int32)
    found[np.arange(len(order)), columns] = np.concatenate([bag.ids for bag in bags.values()])[order]
    return found
