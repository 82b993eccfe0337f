"""A factorization machine's logits and L2 term, and their gradients, without the products of autograd.

    logit = w_0 + Σ_i (w_i − ½ ‖v_i‖²) + ½ ‖S‖²,   S = Σ_i v_i
    ∂/∂v_i = g S + (2 p − g) v_i,   ∂/∂w_i = g + 2 p w_i

g is the gradient of a row's logit, p that of the L2 term over the number of rows. Of embeddings (rows, fields, dim),
which would be written and read some ten times, there is one copy at most: a third of the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class FusedFM(torch.autograd.Function):
    """From tables and rows to logits and the L2 term."""

    @staticmethod
    def forward(ctx: Any, embeddings: Tensor, linear: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits but for the bias, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

        Args:
            ctx: keeps what gradients need.
            embeddings: float32 (n, dim); the last one is that of a missing value, 0.
            linear: float32 (n, 1), likewise.
            rows: of both tables, int64 (rows, fields).
        """
        sums = embedding_bag(rows, embeddings, mode="sum")
        weights = linear[:, 0]
        if rows.numel() < len(embeddings):
            vectors = embeddings[rows]
            norms, weights = torch.linalg.vecdot(vectors, vectors), weights[rows]
        else:  # each row's norm once and for all
            norms, weights = torch.linalg.vecdot(embeddings, embeddings)[rows], weights[rows]
        scalars = (weights - 0.5 * norms).sum(dim=1)
        ctx.save_for_backward(embeddings, linear, rows, sums)
        return scalars + 0.5 * torch.linalg.vecdot(sums, sums), (norms + weights * weights).sum(dim=1).mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of both tables, dense, from those of logits, float32 (rows,), and of the L2 term."""
        embeddings, linear, rows, sums = ctx.saved_tensors
        (of_logits, of_norms), flat, fields = gradients, rows.reshape(-1), rows.shape[1]
        twice = 2 * of_norms / len(rows)
        own = (of_logits[:, None] * sums)[:, None, :].expand(-1, fields, -1)
        every = of_logits.repeat_interleave(fields)
        grown = torch.zeros_like(embeddings)
        if rows.numel() < len(embeddings):
            own = own + (twice - of_logits)[:, None, None] * embeddings[rows]
            grown.index_add_(0, flat, own.reshape(len(flat), -1))
        else:
            grown.index_add_(0, flat, own.reshape(len(flat), -1))
            factors = torch.zeros_like(linear[:, 0]).index_add_(0, flat, twice - every)
            grown.addcmul_(embeddings, factors[:, None])
        of_linear = torch.zeros_like(linear[:, 0]).index_add_(0, flat, every + twice * linear[flat, 0])
        grown[-1], of_linear[-1] = 0, 0
        return grown, of_linear[:, None], None
