"""The values of fields that may have several in a row, as models in training take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from fmcompress.devices.moving import moved
from fmcompress.fm.bags import Bag
from fmcompress.fm.schema import Schema
from fmcompress.types import Int32Array, Int64Array


@dataclass(frozen=True)
class PooledValues:
    """What embeddings and linear weights of values are multiplied by, and how they are summed.

    The values stand row by row, and in a row field by field: bag b is that of row ``b // fields``.

    Attributes:
        starts: first value of each bag, int64 (rows · fields,).
        embedding: what each value's embedding is multiplied by, float32 (values,).
        linear: what its linear weight is multiplied by, float32 (values,).
        each: 1 for a value that is a term of its own, else 0, float32 (values,).
        pooled: 0 for a field whose values are terms of their own, else 1, float32 (fields,).
        columns: place of each field in ``Schema.id_names``.
    """

    starts: Tensor
    embedding: Tensor
    linear: Tensor
    each: Tensor
    pooled: Tensor
    columns: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.embedding)

    def add(self, vectors: Tensor, norms: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return what bags add to S, float32 (rows, dim), and to logits beside ½ ‖S‖², float32 (rows,).

        Args:
            vectors: of each value, float32 (values, dim).
            norms: −½ of their squared norms, float32 (values,).
            linear: its linear weight, float32 (values,).
        """
        scalars = linear * self.linear + norms * self.embedding**2 * self.each
        joined = torch.cat([vectors * self.embedding[:, None], scalars[:, None]], dim=1)
        sums = embedding_bag(torch.arange(len(joined), device=joined.device), joined, self.starts, mode="sum")
        bags = sums.view(-1, len(self.pooled), sums.shape[1])
        pooled = bags[:, :, :-1]
        squares = (pooled * pooled).sum(dim=2) @ self.pooled
        return pooled.sum(dim=1), bags[:, :, -1].sum(dim=1) - 0.5 * squares

    def pool(self, vectors: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return what values of each field are pooled into, float32 (rows, fields, dim), and Σ w_i, float32 (rows,).

        Args:
            vectors: of each value, float32 (values, dim).
            linear: its linear weight, float32 (values,).
        """
        joined = torch.cat([vectors * self.embedding[:, None], (linear * self.linear)[:, None]], dim=1)
        sums = embedding_bag(torch.arange(len(joined), device=joined.device), joined, self.starts, mode="sum")
        bags = sums.view(-1, len(self.pooled), sums.shape[1])
        return bags[:, :, :-1], bags[:, :, -1].sum(dim=1)


def pooled_values(
    bags: Mapping[str, Bag], schema: Schema, device: torch.device | str
) -> tuple[Int32Array, Int64Array, PooledValues]:
    """Return the values of all bags of a batch, and how they are pooled.

    Args:
        bags: of each field that may have several values in a row.
        schema: the fields.
        device: where tensors are wanted.

    Returns:
        Ids, int32 (values,), and tables, int64 (values,), in the order of ``PooledValues``; and these.
    """
    # All values field after field, in the order of their rows.
    order = np.argsort(np.concatenate([bag.rows for bag in bags.values()]), kind="stable")
    tables = [int(schema.tables[schema.id_names.index(name)]) for name in bags]
    ids = np.concatenate([bag.ids for bag in bags.values()])
    poolings = [schema.poolings[name] for name in bags]
    factors = [bag.coefficients(pooling) for bag, pooling in zip(bags.values(), poolings, strict=True)]
    each = [np.full(len(bag.ids), pooling.each) for bag, pooling in zip(bags.values(), poolings, strict=True)]
    counts = np.stack([bag.counts for bag in bags.values()], axis=1).ravel()
    found = (
        np.cumsum(counts) - counts,
        np.concatenate([embedding for embedding, _ in factors])[order],
        np.concatenate([linear for _, linear in factors])[order],
        np.concatenate(each)[order].astype(np.float32),
        np.array([not pooling.each for pooling in poolings], dtype=np.float32),
    )
    columns = tuple(map(schema.id_names.index, bags))
    starts, embedding, linear, each_own, summed = (moved(array, device) for array in found)
    pooled = PooledValues(starts, embedding, linear, each_own, summed, columns)
    return ids[order], np.repeat(tables, [len(bag.ids) for bag in bags.values()])[order], pooled
