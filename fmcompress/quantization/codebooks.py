"""Codebooks and codes of a field, for the quantizer that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fmcompress.fm.quantized import QuantizedField
from fmcompress.fm.quantizer import Quantizer
from fmcompress.quantization.field_weights import FieldWeights
from fmcompress.quantization.kmeans import Points, nearest, train_centroids
from fmcompress.quantization.whitening import whitened_subspaces

_ITERATIONS = 20
_ITERATIONS_OF_MANY = 8
_MANY = 32_768
# More points than this per codeword hardly make a better codebook.
_POINTS_PER_CODEWORD = 128
_MIN_POINTS = 16_384
_CHUNK_ROWS = 16_384


Coded = tuple[Points, npt.NDArray[np.uint16]]
"""A codebook, and the codeword of each category."""


def quantize_subspace(field: FieldWeights, quantizer: Quantizer, number: int, *, seed: int) -> Coded:
    """Return codebook, float32 (K, size of the subspace), and codes, uint16 (cardinality,), of one subspace.

    Weighted k-means in the metric of the expected loss.

    Args:
        field: embeddings, and what errors in them cost.
        quantizer: how to store them; not raw.
        number: of the subspace.
        seed: of k-means.
    """
    subspace = whitened_subspaces(field.hessian, len(quantizer.codewords))[number]
    points = subspace.whiten(field.embeddings)
    centroids = _centroids(points, field.frequencies, quantizer.codewords[number], seed)
    return subspace.codewords(centroids), nearest(points, centroids)[1].astype(np.uint16)


def quantize_field(
    field: FieldWeights, quantizer: Quantizer, subspaces: Sequence[Coded], *, seed: int
) -> QuantizedField:
    """Put a field together: its subspaces, its linear weights, and what their errors cost.

    Args:
        field: embeddings, linear weights, and what errors in them cost.
        quantizer: how to store them.
        subspaces: each one's codebook and codes, see ``quantize_subspace``; none for raw embeddings.
        seed: of k-means.
    """
    tables, codes = _embeddings(field, quantizer, subspaces)
    linear_table, linear_codes = _quantize_linear(field, quantizer, seed)
    quantized = QuantizedField(quantizer, tables, codes, linear_table, linear_codes)
    return replace(quantized, error=expected_rise(field, quantized))


def expected_rise(field: FieldWeights, quantized: QuantizedField) -> float:
    """Return the expected rise of the loss per row: ½ Σ_i p_i (δ_iᵀ H_f δ_i + h_f δ_w,i²)."""
    decoded, linear = quantized.embeddings(), quantized.linear()
    rise = 0.0
    for start in range(0, field.cardinality, _CHUNK_ROWS):  # in float64 a whole field would be large
        rows = slice(start, start + _CHUNK_ROWS)
        shift = (decoded[rows] - field.embeddings[rows]).astype(np.float64)
        cost = np.einsum("nl,nl->n", shift @ field.hessian, shift)
        linear_shift = (linear[rows] - field.linear[rows]).astype(np.float64)
        rise += float(0.5 * field.frequencies[rows] @ (cost + field.curvature * linear_shift**2))
    return rise


def _embeddings(
    field: FieldWeights, quantizer: Quantizer, subspaces: Sequence[Coded]
) -> tuple[tuple[Points, ...], npt.NDArray[np.uint16]]:
    if quantizer.raw:
        return (field.embeddings,), np.empty((field.cardinality, 0), dtype=np.uint16)
    return tuple(table for table, _ in subspaces), np.stack([codes for _, codes in subspaces], axis=1)


def _quantize_linear(
    field: FieldWeights, quantizer: Quantizer, seed: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint16]]:
    if quantizer.linear_raw:
        return field.linear, np.empty(0, dtype=np.uint16)
    points = np.ascontiguousarray(field.linear[:, None])
    centroids = _centroids(points, field.frequencies, quantizer.linear_codewords, seed)
    return centroids[:, 0], nearest(points, centroids)[1].astype(np.uint16)


def _centroids(points: Points, frequencies: npt.NDArray[np.float64], size: int, seed: int) -> Points:
    weights = frequencies.astype(np.float32)
    if size == len(points):
        return points
    if size == 1:
        return np.average(points, axis=0, weights=frequencies).astype(np.float32)[None]
    enough = max(_MIN_POINTS, _POINTS_PER_CODEWORD * size)
    if len(points) > enough:
        drawn = np.random.default_rng(seed).permutation(len(points))[:enough]
        points, weights = points[drawn], weights[drawn]
    iterations = _ITERATIONS if len(points) <= _MANY else _ITERATIONS_OF_MANY
    return train_centroids(points, weights, size, seed=seed, iterations=iterations)
