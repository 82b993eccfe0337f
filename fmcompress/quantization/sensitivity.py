"""What an error in an embedding costs: the factorization machine's own metric, field by field.

With v_i + δ in place of v_i the logit moves by δ·(S − v_i). To second order the loss of an average row rises by

    ½ p_i δᵀ H_f δ,   H_f = E[p(1−p) (S − v_i)(S − v_i)ᵀ | field f]

where p_i is how often category i is active, and for a linear weight by ½ p_i h_f δ², h_f = E[p(1−p)]. So one
currency, expected loss per row, prices embeddings and linear weights alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.schema import Schema

if TYPE_CHECKING:
    from fmcompress.data import ParquetRows

Floats = npt.NDArray[np.float64]

_SAMPLE_ROWS = 262_144
_BATCH_ROWS = 16_384
# Keeps H_f invertible; relative to its mean eigenvalue.
_RIDGE = 1e-3


@dataclass(frozen=True)
class Sensitivity:
    """What errors cost in each field.

    Attributes:
        frequencies: p_i, the share of rows in which category i is active, float64 (categories,).
        hessians: H_f, float64 (fields, dim, dim), positive definite.
        curvatures: h_f, float64 (fields,).
    """

    frequencies: Floats
    hessians: Floats
    curvatures: Floats


def from_moments(checkpoint: FMCheckpoint, counts: npt.NDArray[np.int64] | None) -> Sensitivity:
    """Return the sensitivity without data: fields are taken as independent.

    Then E[(S − v)(S − v)ᵀ] is the sum of the other fields' covariances plus the outer product of the sum of
    their means, and p(1−p) is that of the mean logit.

    Args:
        checkpoint: the factorization machine.
        counts: how often each category was seen; None takes all categories of a field as equally frequent.
    """
    schema, dim = checkpoint.schema, checkpoint.dim
    frequencies = shares(schema, counts)
    means = np.empty((len(schema), dim))
    covariances = np.empty((len(schema), dim, dim))
    linear = checkpoint.bias
    for field in range(len(schema)):
        rows = schema.rows(field)
        share = frequencies[rows]
        vectors = checkpoint.embeddings[rows].astype(np.float64)
        means[field] = share @ vectors
        centred = vectors - means[field]
        covariances[field] = (centred * share[:, None]).T @ centred
        linear += float(share @ checkpoint.linear[rows])
    total = means.sum(axis=0)
    logit = linear + 0.5 * (total @ total - np.einsum("fl,fl->", means, means))
    curvature = _curvature(np.array([logit]))[0]
    others = total - means
    outer = np.einsum("fl,fm->flm", others, others)
    hessians = curvature * (covariances.sum(axis=0) - covariances + outer)
    return Sensitivity(frequencies, _regular(hessians), np.full(len(schema), curvature))


def from_rows(checkpoint: FMCheckpoint, rows: ParquetRows, counts: npt.NDArray[np.int64], *, seed: int) -> Sensitivity:
    """Return the sensitivity as it is on rows of data, of which some 262,144 are drawn.

    Args:
        checkpoint: the factorization machine.
        rows: training data.
        counts: how often each category occurs in them.
        seed: of the draw.
    """
    from fmcompress.data import shuffled
    from fmcompress.fm.scorer import FMScorer

    schema, dim = checkpoint.schema, checkpoint.dim
    scorer = FMScorer(checkpoint)
    hessians = np.zeros((len(schema), dim, dim))
    curvatures = np.zeros(len(schema))
    present_rows = np.zeros(len(schema))
    seen = 0
    for batch in shuffled(rows, _BATCH_ROWS, seed=seed):
        logits, sums = scorer.logits_and_sums(batch.ids)
        root = np.sqrt(_curvature(logits.astype(np.float64))).astype(np.float32)
        for field in range(len(schema)):
            ids = batch.ids[:, field]
            present = ids >= 0
            vectors = checkpoint.embeddings[schema.rows(field)][ids[present]]
            others = (sums[present] - vectors) * root[present, None]
            hessians[field] += others.T @ others
            curvatures[field] += float((root[present] ** 2).sum(dtype=np.float64))
            present_rows[field] += int(present.sum())
        seen += len(batch)
        if seen >= _SAMPLE_ROWS:
            break
    present_rows = np.maximum(present_rows, 1)
    hessians /= present_rows[:, None, None]
    return Sensitivity(shares(schema, counts), _regular(hessians), np.asarray(curvatures / present_rows))


def shares(schema: Schema, counts: npt.NDArray[np.int64] | None) -> Floats:
    """Return the share of rows of each category; one more row each, so that a rare one is worth something."""
    frequencies = np.ones(schema.categories)
    if counts is not None:
        frequencies += counts
    for field in range(len(schema)):
        rows = schema.rows(field)
        frequencies[rows] /= frequencies[rows].sum()
    return frequencies


def _curvature(logits: Floats) -> Floats:
    """Return p(1−p), the second derivative of the loss."""
    p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return np.asarray(p * (1 - p))


def _regular(hessians: Floats) -> Floats:
    dim = hessians.shape[-1]
    ridge = _RIDGE * np.trace(hessians, axis1=1, axis2=2) / dim
    smallest = np.finfo(np.float32).tiny
    return np.asarray(hessians + np.maximum(ridge, smallest)[:, None, None] * np.eye(dim))
