"""Typical rows of a checkpoint, drawn without data: each field's category by how often it is seen, fields by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network_scorer import NetworkScorer
from fmcompress.types import Float64Array, Int64Array

_ROWS = 4096
_MIDDLE = 0.75
_NORMAL_MIDDLE = 1.15
"""So many standard deviations hold three quarters of normally distributed numbers."""


@dataclass(frozen=True)
class Typical:
    """What most rows look like.

    Attributes:
        moments: E[S Sᵀ], float64 (dim, dim).
        spread: standard deviation of the logits; for probabilities at least 1.
        logit: the one in their middle.
    """

    moments: Float64Array
    spread: float
    logit: float


def typical_of(checkpoint: FMCheckpoint, frequencies: Float64Array) -> Typical:
    """Return what the three quarters of drawn rows look like that are nearest to the middle.

    Args:
        checkpoint: the factorization machine.
        frequencies: share of rows of each category, float64 (categories,).
    """
    logits, sums = logits_and_sums(checkpoint, drawn_ids(checkpoint, frequencies, _ROWS, seed=0))
    middle = float(np.median(logits))
    distances = np.abs(logits - middle)
    limit = float(np.quantile(distances, _MIDDLE))
    kept = sums[distances <= limit]
    spread = limit / _NORMAL_MIDDLE
    return Typical(
        kept.T @ kept / len(kept), spread if checkpoint.link_function.regression else max(spread, 1.0), middle
    )


def drawn_ids(checkpoint: FMCheckpoint, frequencies: Float64Array, rows: int, *, seed: int) -> Int64Array:
    """Return category ids, int64 (rows, ids); PAD and missing ones are none of them, unless nothing else is there.

    Args:
        checkpoint: the factorization machine.
        frequencies: share of rows of each category, float64 (categories,).
        rows: number of rows.
        seed: of the draw.
    """
    schema, rng = checkpoint.schema, np.random.default_rng(seed)
    found = np.empty((rows, len(schema.tables)), dtype=np.int64)
    for column, (table, pad) in enumerate(zip(schema.tables.tolist(), schema.pads.tolist(), strict=True)):
        own = frequencies[schema.rows(table)].copy()
        if pad >= 0 and len(own) > 1:
            own[pad] = 0
        ends = np.cumsum(own, out=own)
        found[:, column] = np.searchsorted(ends, rng.random(rows) * ends[-1], side="right").clip(max=len(own) - 1)
    return found


def drawn_batch(checkpoint: FMCheckpoint, frequencies: Float64Array, rows: int) -> Batch:
    """Return rows that are drawn, each field by itself; labels and values of numeric fields are 0.

    Args:
        checkpoint: the factorization machine.
        frequencies: share of rows of each category, float64 (categories,).
        rows: number of rows.
    """
    ids = drawn_ids(checkpoint, frequencies, rows, seed=0).astype(np.int32)
    values = np.zeros((rows, len(checkpoint.schema.numeric)), dtype=np.float32)
    return Batch(ids, np.zeros(rows, dtype=np.float32), values)


def logits_and_sums(checkpoint: FMCheckpoint, ids: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Return logits, float64 (rows,), and S, float64 (rows, dim), of rows; values of numeric fields are 0.

    Args:
        checkpoint: the factorization machine, perhaps with a network.
        ids: of categories, none missing, int64 (rows, ids).
    """
    if checkpoint.network is not None:
        values = np.zeros((len(ids), len(checkpoint.schema.numeric)), dtype=np.float32)
        scored = NetworkScorer(checkpoint, checkpoint.network).score(ids.astype(np.int32), values)
        return scored.logits.astype(np.float64), scored.sums.astype(np.float64)
    sums = np.zeros((len(ids), checkpoint.dim))
    logits = np.full(len(ids), float(checkpoint.bias))
    for column, offset in enumerate(checkpoint.schema.id_offsets.tolist()):
        rows = ids[:, column] + offset
        vectors = checkpoint.embeddings[rows].astype(np.float64)
        # v·S over the fields before: a sum of pairs, in which nothing cancels that need not.
        logits += checkpoint.linear[rows] + np.einsum("rl,rl->r", vectors, sums)
        sums += vectors
    return logits, sums
