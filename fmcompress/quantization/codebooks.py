"""Codebooks and codes of all fields, for the quantizers that were chosen."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.tiers import Tiers
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.field_weights import FieldWeights, Metric, all_weights, whitened_subspaces
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import Float32Array, Float64Array, UInt16Array

_ITERATIONS = 20
_ITERATIONS_OF_MANY = 8
_MANY = 32_768
# More points than this per codeword hardly make a better codebook.
_POINTS_PER_CODEWORD = 128
_MIN_POINTS = 16_384
_CHUNK_ROWS = 16_384


Coded = tuple[Float32Array, UInt16Array]
"""A codebook, float32 (K, size of the subspace), and the codeword of each category, uint16 (cardinality,)."""


def fit_codebooks(
    checkpoint: FMCheckpoint,
    sensitivity: Sensitivity,
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    tiers: Tiers | None = None,
    metric: Metric | Sequence[Metric] = "fm",
    rises: Sequence[float] | None = None,
    progress: Progress = SILENT,
) -> QuantizedFM:
    """Make codebooks and codes of a factorization machine.

    Args:
        checkpoint: the factorization machine.
        sensitivity: what errors in it cost.
        quantizers: of each tier.
        seed: of k-means.
        tiers: how fields are split; None leaves them whole.
        metric: what the embeddings' k-means minimises, in all tiers or in each of them.
        rises: rise of the loss per row by each tier, where that is known better than from the expected loss.
        progress: told of each field.
    """
    tiers = tiers or Tiers.none(checkpoint.schema)
    weights = all_weights(checkpoint, sensitivity, tiers)
    fields = fit_tiers(weights, quantizers, seed=seed, metric=metric, rises=rises, progress=progress)
    return QuantizedFM(
        checkpoint.schema,
        checkpoint.dim,
        checkpoint.link,
        checkpoint.bias,
        fields,
        tiers,
        checkpoint.numeric,
        checkpoint.network,
    )


def fit_tiers(
    weights: Sequence[FieldWeights],
    quantizers: Sequence[Quantizer],
    *,
    seed: int,
    metric: Metric | Sequence[Metric] = "fm",
    rises: Sequence[float] | None = None,
    progress: Progress = SILENT,
) -> tuple[QuantizedField, ...]:
    """Make codebooks and codes of tiers; arguments are those of ``fit_codebooks``.

    Args:
        weights: of each tier, and what errors in them cost.
        quantizers: of each tier.
        seed: of k-means.
        metric: what k-means minimises.
        rises: of each tier.
        progress: told of each field.
    """
    metrics = [metric] * len(weights) if isinstance(metric, str) else metric
    works = [
        partial(quantize_subspace, tier.in_metric(own), quantizer, number, seed=seed)
        for tier, own, quantizer in zip(weights, metrics, quantizers, strict=True)
        for number in range(len(quantizer.codewords))
    ]
    coded = iter(list(side_by_side(works, title="making codebooks", progress=progress)))
    fields = [
        quantize_field(tier, quantizer, list(islice(coded, len(quantizer.codewords))), seed=seed)
        for tier, quantizer in zip(weights, quantizers, strict=True)
    ]
    if rises is not None:
        fields = [replace(field, error=rise) for field, rise in zip(fields, rises, strict=True)]
    return tuple(fields)


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
        subspaces: of each one codebook, float32 (K, size of the subspace), and codes, uint16 (cardinality,); none for
            raw embeddings.
        seed: of k-means.
    """
    tables = tuple(table for table, _ in subspaces) or (field.embeddings,)
    none = np.empty((field.cardinality, 0), dtype=np.uint16)
    codes = np.concatenate([none, *(codes[:, None] for _, codes in subspaces)], axis=1)
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


def _quantize_linear(field: FieldWeights, quantizer: Quantizer, seed: int) -> tuple[Float32Array, UInt16Array]:
    if quantizer.linear_raw:
        return field.linear, np.empty(0, dtype=np.uint16)
    if not quantizer.has_linear:
        return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.uint16)
    points = np.ascontiguousarray(field.linear[:, None])
    centroids = _centroids(points, field.frequencies, quantizer.linear_codewords, seed)
    return centroids[:, 0], nearest(points, centroids)[1].astype(np.uint16)


def _centroids(points: Float32Array, frequencies: Float64Array, size: int, seed: int) -> Float32Array:
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
