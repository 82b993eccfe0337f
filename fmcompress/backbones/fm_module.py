"""The factorization machine as a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

from fmcompress.fm.schema import Schema
from fmcompress.types import Int32Array

_INITIAL_STD = 0.01


class RowNumbers:
    """Turns ids, counted from 0 in each field, into rows of tables that hold all fields."""

    def __init__(self, schema: Schema, device: torch.device | str = "cpu") -> None:
        """Keep the first row of each field; ``missing`` is the row after the last."""
        self.missing = schema.categories
        self._device = device
        self._offsets = schema.id_offsets

    def __call__(self, ids: Int32Array) -> Tensor:
        """Return the rows, int64 (rows, fields), of ids, int32; missing values get the row ``missing``."""
        rows = ids + self._offsets
        absent = ids < 0
        if absent.any():
            rows[absent] = self.missing
        return torch.from_numpy(rows).to(self._device)


class VanillaFM(nn.Module):
    """A factorization machine with one active category per field.

        logit = w_0 + Σ_i w_i + ½ (‖Σ_i v_i‖² − Σ_i ‖v_i‖²)

    The linear part starts at zero: a category that is never seen must not contribute. One more row, of
    zeros, stands for missing values.
    """

    def __init__(self, categories: int, dim: int, *, sparse: bool, generator: torch.Generator) -> None:
        """Draw small embeddings.

        Args:
            categories: categories of all fields.
            dim: embedding size l.
            sparse: whether gradients are sparse, for tables of which a batch touches a small part.
            generator: draws the embeddings.
        """
        super().__init__()
        embeddings = torch.randn(categories + 1, dim, generator=generator) * _INITIAL_STD
        embeddings[categories] = 0
        self.embeddings = nn.Parameter(embeddings)
        self.linear = nn.Parameter(torch.zeros(categories + 1, 1))
        self.bias = nn.Parameter(torch.zeros(()))
        self.sparse = sparse

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (rows,) and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

        Args:
            rows: rows of the tables, int64 (rows, fields).
        """
        missing = len(self.linear) - 1
        vectors = embedding(rows, self.embeddings, padding_idx=missing, sparse=self.sparse)
        weights = embedding(rows, self.linear, padding_idx=missing, sparse=self.sparse)
        return logits_and_norms(self.bias, vectors, weights)


def logits_and_norms(bias: Tensor, vectors: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

    Args:
        bias: w_0, a float32 scalar.
        vectors: v_i of the active categories, float32 (rows, fields, dim).
        weights: w_i of these, float32 (rows, fields, 1).
    """
    sums = vectors.sum(dim=1)
    norms = (vectors * vectors).sum(dim=(1, 2))
    logits = bias + weights.sum(dim=(1, 2)) + 0.5 * ((sums * sums).sum(dim=1) - norms)
    return logits, norms.mean() + (weights * weights).sum(dim=(1, 2)).mean()
