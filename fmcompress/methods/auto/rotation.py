"""A rotation of all embeddings that gathers what matters in the first coordinates.

A factorization machine sees embeddings through their products alone, so one rotation common to all fields leaves it
as it is, and costs nothing in the artifact. Along the principal axes of the pooled covariance coordinates are
uncorrelated and differ in size: the first subspaces get many codewords, the last few or one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.quantization.sensitivity import shares
from fmcompress.types import Float64Array


def rotated(checkpoint: FMCheckpoint) -> FMCheckpoint:
    """Return the same factorization machine with its embeddings along their principal axes."""
    axes = _principal_axes(checkpoint).astype(np.float32)
    numeric = NumericWeights(checkpoint.numeric.linear, checkpoint.numeric.embeddings @ axes)
    return replace(checkpoint, embeddings=np.ascontiguousarray(checkpoint.embeddings @ axes), numeric=numeric)


def _principal_axes(checkpoint: FMCheckpoint) -> Float64Array:
    """Return the eigenvectors of Σ_f Cov_f, the largest first, float64 (dim, dim), with signs that are fixed."""
    pooled = np.zeros((checkpoint.dim, checkpoint.dim))
    parts = (
        checkpoint.schema.split(checkpoint.embeddings),
        checkpoint.schema.split(shares(checkpoint.schema, checkpoint.counts)),
    )
    for vectors, share in zip(*parts, strict=True):
        centred = vectors - share @ vectors / share.sum()
        pooled += (centred * share[:, None]).T @ centred
    axes = np.linalg.eigh(pooled)[1][:, ::-1]
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))]
    return np.asarray(axes * np.where(largest < 0, -1, 1))
