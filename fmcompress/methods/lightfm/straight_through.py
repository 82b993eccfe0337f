"""Codewords that are assigned so that gradients pass straight through: equations 5 to 8 of the paper.

The distance loss keeps latent embeddings near their codewords; a step sums over the distinct categories of its batch:

    L_dist = Σ_i w_i ‖v_i − q_i‖                 (5)   beside the loss of the rows, with a weight λ

For a latent sub-vector v and the codewords c_k of its codebook, with the similarity s_k = −‖v − c_k‖²,

    b  = onehot(argmax_k s_k)                    (6)   used forward:  q = Σ_k b_k c_k
    b~ = softmax(s / T)                          (7)
    b^ = b~ + stop_gradient(b − b~)              (8)   used backward: q = Σ_k b^_k c_k

With g = ∂L/∂q and a_k = g·c_k, the gradients have a closed form, which needs no graph:

    ∂L/∂s_k = b~_k (a_k − Σ_j b~_j a_j) / T
    ∂L/∂v   = 2 Σ_k ∂L/∂s_k c_k                            since Σ_k ∂L/∂s_k = 0
    ∂L/∂c_k = b_k g + 2 ∂L/∂s_k (v − c_k)                  summed over all v of the codebook

The compact form takes the sums over candidates only: the codewords nearest to the one that v was assigned to. v lies
near its codeword, so its nearest codewords are among them, and all others have a softmax of almost 0. With all
codewords as candidates it is the full form.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, where
from torch.nn.functional import embedding

from fmcompress.finetune.lookup import sum_by_row
from fmcompress.finetune.options import Distance
from fmcompress.types import Float32Array, Float64Array, Int64Array

_CHUNK_ROWS = 256


def assign(
    latents: Tensor, table: Tensor, codes: Tensor, neighbours: Tensor, temperatures: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the most similar candidate of each latent sub-vector, and its row.

    Args:
        latents: v, float32 (n, width).
        table: codewords of all codebooks, float32 (rows, width); the last row stands for missing values, and
            gets no gradient.
        codes: rows that the latents were assigned to before, int64 (n,).
        neighbours: candidates of each row, itself first, int64 (rows, m); the last row fills lists up.
        temperatures: T of each row's codebook, float32 (rows,).

    Returns:
        q, float32 (n, width), with the gradients above; the rows of these, int64 (n,).
    """
    found: tuple[Tensor, Tensor] = _Assignment.apply(  # type: ignore[no-untyped-call]
        latents, table, codes, neighbours, temperatures
    )
    return found


class _Assignment(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, latents: Tensor, table: Tensor, codes: Tensor, neighbours: Tensor, temperatures: Tensor
    ) -> tuple[Tensor, Tensor]:
        near = neighbours[codes]
        candidates = embedding(near, table)
        # ‖v‖², the same for all candidates, is left out.
        norms = (table * table).sum(dim=1)[near]
        similarities = torch.baddbmm(norms[:, :, None], candidates, latents[:, :, None], beta=-1, alpha=2)[:, :, 0]
        filling = near == len(table) - 1
        filling[:, 0] = False
        similarities.masked_fill_(filling, -torch.inf)
        chosen = near.gather(1, similarities.argmax(dim=1, keepdim=True))[:, 0]
        scaled = similarities / temperatures[codes][:, None]
        ctx.save_for_backward(latents, table, near, candidates, scaled, chosen, temperatures[codes])
        ctx.mark_non_differentiable(chosen)
        return table[chosen], chosen

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        latents, table, near, candidates, scaled, chosen, temperatures = ctx.saved_tensors
        gradient = gradients[0]
        softmax = torch.softmax(scaled, dim=1)
        along = torch.bmm(candidates, gradient[:, :, None])[:, :, 0]
        mean = (softmax * along).sum(dim=1, keepdim=True)
        # 2 ∂L/∂s
        pull = softmax * (along - mean) * (2 / temperatures)[:, None]
        to_latents = torch.bmm(pull[:, None, :], candidates)[:, 0]
        ones = torch.ones_like(latents[:, :1])
        soft = sum_by_row(near, pull, torch.cat([latents, ones], dim=1), len(table))
        hard = sum_by_row(chosen[:, None], ones, gradient, len(table))
        to_table = hard + soft[:, :-1] - soft[:, -1:] * table
        to_table[-1] = 0
        return to_latents, to_table, None, None, None


def nearest_rows(table: Tensor, starts: Int64Array, lengths: Int64Array, candidates: int) -> Tensor:
    """Return the rows of the codewords nearest to each codeword, in its own codebook, itself first.

    Args:
        table: codewords of all codebooks, float32 (rows, width), then a row for missing values.
        starts: first row of each codebook, any shape.
        lengths: codewords of each codebook, of the same shape.
        candidates: m, how many to return at most.

    Returns:
        int64 (rows + 1, m); short lists are filled up with the last row, which has a list of itself.
    """
    width = min(candidates, int(lengths.max()))
    null = len(table) - 1
    found = torch.full((len(table), width), null, dtype=torch.int64, device=table.device)
    for start, length in zip(starts.reshape(-1).tolist(), lengths.reshape(-1).tolist(), strict=True):
        codewords = table[start : start + length]
        norms = (codewords * codewords).sum(dim=1)
        for first in range(0, length, _CHUNK_ROWS):
            rows = slice(first, min(first + _CHUNK_ROWS, length))
            distances = torch.addmm(norms, codewords[rows], codewords.T, alpha=-2)
            # Itself comes first, also where another codeword is equal to it.
            distances[torch.arange(rows.stop - first), torch.arange(first, rows.stop)] = -torch.inf
            near = distances.topk(min(width, length), largest=False, sorted=True).indices
            found[start + first : start + rows.stop, : near.shape[1]] = near + start
    return found


def distance_weights(counts: Int64Array, distance: Distance) -> Float32Array:
    """Return w_i of each category, float32 (categories,); their sum is 1, or 0 where there is no distance loss.

    ``popularity`` is log(1 + f_i) / Σ_k log(1 + f_k): with the paper's log f_i, a category that is seen once would
    count nothing, and one that is never seen would have no weight at all. ``mean`` is the same for all.

    Args:
        counts: f_i of the categories of all coded fields, int64 (categories,).
        distance: kind of weights.
    """
    if distance == "none":
        return np.zeros(len(counts), dtype=np.float32)
    weights = np.log1p(counts.astype(np.float64)) if distance == "popularity" else np.ones(len(counts))
    shares: Float64Array = weights / max(float(weights.sum()), float(np.finfo(np.float64).tiny))
    return shares.astype(np.float32)


def weighted_distance(shift: Tensor, weights: Tensor) -> Tensor:
    """Return Σ_i w_i ‖v_i − q_i‖, a scalar.

    Args:
        shift: v_i − q_i, float32 (n, subspaces, width).
        weights: w_i, float32 (n,).
    """
    squares = (shift * shift).sum(dim=(1, 2))
    apart = squares > 0
    # The root has no derivative at 0, where a latent lies on its codeword.
    return (weights * apart * where(apart, squares, 1).sqrt()).sum()
