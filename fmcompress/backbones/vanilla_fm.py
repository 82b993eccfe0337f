"""The vanilla factorization machine as a torch module: the yardstick of every compressed one."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fmcompress.backbones.fused_fm import FusedFM
from fmcompress.data.batch import Batch
from fmcompress.devices.moving import moved
from fmcompress.fm.schema import Schema
from fmcompress.training.pooled_values import PooledValues, pooled_values

INITIAL_SPREAD = 0.01
"""Of coordinates of embeddings, their standard deviation."""


@dataclass(frozen=True)
class ActiveRows:
    """The rows of tables, which hold all fields, that a batch looks up.

    Attributes:
        rows: of each field, the row after the last where a value is missing, int64 (rows, fields).
        values: of each value of fields with several in a row, int64 (values, 1); None where there are no such fields.
        bags: how these are pooled.
    """

    rows: Tensor
    values: Tensor | None = None
    bags: PooledValues | None = None


class RowNumbers:
    """Turns ids, counted from 0 in each field, into rows of tables that hold all fields."""

    def __init__(self, schema: Schema, device: torch.device | str = "cpu") -> None:
        """Keep the first row of each field; ``missing`` is the row after the last."""
        self.missing = schema.categories
        self._schema = schema
        self._device = device
        self._offsets = schema.id_offsets

    def __call__(self, batch: Batch) -> ActiveRows:
        """Return the rows of a batch; missing values get the row ``missing``."""
        rows = batch.ids + self._offsets
        absent = batch.ids < 0
        if absent.any():
            rows[absent] = self.missing
        active = moved(rows, self._device)
        if not batch.bags:
            return ActiveRows(active)
        ids, tables, pooled = pooled_values(batch.bags, self._schema, self._device)
        values = moved(ids + self._schema.offsets[tables], self._device)[:, None]
        return ActiveRows(active, values, pooled)


class VanillaFM(nn.Module):
    """A factorization machine in training.

        logit = w_0 + Σ_i w_i + ½ (‖Σ_i v_i‖² − Σ_i ‖v_i‖²)

    The linear part starts at zero: a category that is never seen must not contribute. One more row, of
    zeros, stands for missing values.
    """

    def __init__(
        self, categories: int, dim: int, *, sparse: bool, generator: torch.Generator, spread: float = INITIAL_SPREAD
    ) -> None:
        """Draw small embeddings.

        Args:
            categories: categories of all fields.
            dim: embedding size l.
            sparse: whether gradients are sparse, for tables of which a batch touches a small part.
            generator: draws the embeddings.
            spread: standard deviation of their coordinates.
        """
        super().__init__()
        embeddings = torch.randn(categories + 1, dim, generator=generator) * spread
        embeddings[categories] = 0
        self.embeddings = nn.Parameter(embeddings)
        self.linear = nn.Parameter(torch.zeros(categories + 1, 1))
        self.bias = nn.Parameter(torch.zeros(()))
        self.sparse = sparse

    def forward(self, active: ActiveRows) -> tuple[Tensor, Tensor]:
        """Return logits (rows,) and the L2 term, a scalar; see ``logits_and_norms``."""
        if active.values is None and not self.sparse and not self.embeddings.is_cuda:  # a GPU sums in any order
            logits, norms = FusedFM.apply(self.embeddings, self.linear, active.rows)  # type: ignore[no-untyped-call]
            return self.bias + logits, norms
        return logits_and_norms(self.bias, self._embeddings_of, self._linear_of, active)

    def _embeddings_of(self, rows: Tensor) -> Tensor:
        return embedding(rows, self.embeddings, padding_idx=len(self.linear) - 1, sparse=self.sparse)

    def _linear_of(self, rows: Tensor) -> Tensor:
        return embedding(rows, self.linear, padding_idx=len(self.linear) - 1, sparse=self.sparse)


def logits_and_norms(
    bias: Tensor, embeddings: Callable[[Tensor], Tensor], linear: Callable[[Tensor], Tensor], active: ActiveRows
) -> tuple[Tensor, Tensor]:
    """Return logits, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

    Of a field with several values in a row the norms count as often as the embeddings and the linear weights do.

    Args:
        bias: w_0, a float32 scalar.
        embeddings: from rows, int64 (n, fields), to embeddings, float32 (n, fields, dim).
        linear: from rows, int64 (n, fields), to linear weights, float32 (n, fields, 1).
        active: the rows.
    """
    vectors, weights = embeddings(active.rows), linear(active.rows)
    sums, scalars = vectors.sum(dim=1), weights.sum(dim=(1, 2))
    norms = (vectors * vectors).sum(dim=(1, 2))
    penalty = norms.mean() + (weights * weights).sum(dim=(1, 2)).mean()
    scalars = bias + scalars - 0.5 * norms
    if active.values is not None and active.bags is not None:
        bags, vectors, weights = active.bags, embeddings(active.values)[:, 0], linear(active.values)[:, 0, 0]
        norms = (vectors * vectors).sum(dim=1)
        more_sums, more_scalars = bags.add(vectors, -0.5 * norms, weights)
        sums, scalars = sums + more_sums, scalars + more_scalars
        penalty = penalty + (bags.embedding.abs() @ norms + bags.linear.abs() @ weights**2) / len(sums)
    return scalars + 0.5 * (sums * sums).sum(dim=1), penalty
