"""A factorization machine in tuning whose tables are stored in other forms than codebooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.tables import IntegerTable, KeptTable
from fmcompress.fm.checkpoint import FMCheckpoint


class StoredModule(nn.Module):
    """The logit of a factorization machine with tables as they will be stored."""

    def __init__(
        self, model: FMCheckpoint, linear: IntegerTable, embeddings: IntegerTable | KeptTable, *, sparse: bool
    ) -> None:
        """Join the parts.

        Args:
            model: the factorization machine to start from; of it the bias is taken over.
            linear: its linear weights.
            embeddings: its embeddings.
            sparse: whether gradients of the tables are sparse.
        """
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = linear
        self.embeddings = embeddings
        self.sparse = sparse
        self._schema, self._link = model.schema, model.link

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (rows,) and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

        Args:
            rows: rows of the tables, int64 (rows, fields).
        """
        vectors, weights = self.embeddings(rows), self.linear(rows)
        sums = vectors.sum(dim=1)
        norms = (vectors * vectors).sum(dim=(1, 2))
        logits = self.bias + weights.sum(dim=(1, 2)) + 0.5 * ((sums * sums).sum(dim=1) - norms)
        return logits, norms.mean() + (weights * weights).sum(dim=(1, 2)).mean()

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.values, self.embeddings.values]

    def others(self) -> list[nn.Parameter]:
        """Return all other parameters."""
        steps = [table.log_steps for table in (self.linear, self.embeddings) if isinstance(table, IntegerTable)]
        return [self.bias, *steps]

    def stored(self) -> StoredFM:
        """Return the model as a file holds it."""
        return StoredFM(self._schema, self._link, self.bias.item(), self.linear.stored(), self.embeddings.stored())
