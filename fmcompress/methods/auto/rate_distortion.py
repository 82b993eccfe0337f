"""Rate and distortion: the expected loss of a tier's embeddings with codebooks of each size, subspace by subspace.

They are measured on a sample of the categories, at every fourth codebook size, each codebook starting from the one
before, with few iterations: good enough to choose by, at a fraction of the work of final codebooks. Between and beyond
the measured sizes the logarithm of the distortion is taken as linear in the logarithm of the size, as it is for fine
quantizers.

Where candidates are measured on rows, each of their codebooks is needed, but just for the categories in those rows, and
just good enough to choose by: these are nested, from few codewords to many, each started from the one before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmcompress.quantization.field_weights import FieldWeights, Metric, whitened_subspaces
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt16Array

LARGEST_CODEBOOKS = {1: 4096, 2: 4096, 4: 2048, 8: 1024, 16: 256, 32: 256}
"""Numbers of subspaces that are candidates, and the most codewords that each may have."""

LARGEST_LINEAR_CODEBOOK = 256

_SAMPLE = 8_192
_HELD_OUT = 4_096
_MEASURED_SIZES = (1, 4, 16, 64, 256, 1024)
# A distortion below this share of the variance is none.
_NOTHING = 1e-9
_ITERATIONS = 3
_MEASURED_SUBSPACES = 4
_MOST_NESTED_CODEWORDS = 512


@dataclass(frozen=True)
class RateDistortion:
    """Errors of the codebooks of a tier's embeddings, cut into some number of subspaces.

    Attributes:
        sizes: codewords of a codebook, rising powers of two from 1 on.
        errors: expected rise of the loss per row by each subspace with each size, float64 (subspaces, sizes).
    """

    sizes: tuple[int, ...]
    errors: Float64Array


def candidate_subspaces(dim: int) -> list[int]:
    """Return the numbers of subspaces that are candidates for embeddings of size ``dim``."""
    return [subspaces for subspaces in LARGEST_CODEBOOKS if subspaces <= dim]


def codebook_sizes(cardinality: int, largest: int) -> list[int]:
    """Return powers of two, from one codeword up to a quarter of the categories."""
    return [1, *(1 << bits for bits in range(1, 13) if 1 << bits <= min(largest, cardinality // 4))]


def embedding_distortion(field: FieldWeights, subspaces: int, *, seed: int) -> RateDistortion:
    """Return the expected loss of each codebook.

    The first size is 1: its error is a variance, and known exactly. How it falls with the size is much the same
    in all subspaces of a field, so a few of them are measured.

    Args:
        field: the weights.
        subspaces: their number, one of ``candidate_subspaces``.
        seed: of samples and k-means.
    """
    sizes = codebook_sizes(field.cardinality, LARGEST_CODEBOOKS[subspaces])
    spaces = whitened_subspaces(field.hessian, subspaces)
    sample = _sample(field, seed)
    every = -(-subspaces // _MEASURED_SUBSPACES)
    measured = np.zeros(len(sizes))
    variances = np.zeros(subspaces)
    for number, space in enumerate(spaces):
        points = space.whiten(field.embeddings)
        variances[number] = _variance(points, field.frequencies)
        if number % every == 0:
            measured += _distortions(points, sample, sizes, seed)
    shape = measured / measured[0] if measured[0] else np.zeros(len(sizes))
    return RateDistortion(tuple(sizes), 0.5 * spaces[0].scale * variances[:, None] * shape)


def linear_distortion(field: FieldWeights, *, seed: int) -> RateDistortion:
    """Return the expected loss of codebooks of the linear weights, as of one subspace."""
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    errors = 0.5 * field.curvature * _distortions(field.linear[:, None], _sample(field, seed), sizes, seed)
    return RateDistortion(tuple(sizes), errors[None])


def _variance(points: Float32Array, weights: Float64Array) -> float:
    mean = weights @ points / weights.sum()
    return max(float(weights @ np.einsum("nd,nd->n", points, points)) - float(weights.sum() * (mean @ mean)), 0.0)


@dataclass(frozen=True)
class _Sample:
    """Categories to train codebooks on, and others to measure them on; the same where a field is small."""

    train: Int64Array
    train_weights: Float32Array
    measure: Int64Array
    measure_weights: Float32Array


def _sample(field: FieldWeights, seed: int) -> _Sample:
    everything = np.arange(field.cardinality)
    weights = field.frequencies.astype(np.float32)
    if field.cardinality <= _SAMPLE + _HELD_OUT:
        return _Sample(everything, weights, everything, weights)
    drawn = np.random.default_rng(seed).permutation(field.cardinality)[: _SAMPLE + _HELD_OUT]
    train, measure = drawn[:_SAMPLE], drawn[_SAMPLE:]
    # The measured ones stand for all categories.
    measured = weights[measure] * (weights.sum() / weights[measure].sum())
    return _Sample(train, weights[train], measure, measured.astype(np.float32))


def _distortions(points: Float32Array, sample: _Sample, sizes: list[int], seed: int) -> Float64Array:
    """Return Σ_i p_i ‖x_i − centroid‖² for each number of centroids, float64 (sizes,)."""
    train, measure = points[sample.train], points[sample.measure]
    centroids = np.average(train, axis=0, weights=sample.train_weights).astype(np.float32)[None]
    measured: dict[int, float] = {}
    for size in sorted({1, *(size for size in sizes if size in _MEASURED_SIZES), min(sizes[-1], _MEASURED_SIZES[-1])}):
        if size > 1:
            centroids = train_centroids(
                train, sample.train_weights, size, seed=seed, iterations=_ITERATIONS, start=centroids
            )
        distances, _ = nearest(measure, centroids)
        measured[size] = float(distances.astype(np.float64) @ sample.measure_weights)
    return _between(sizes, measured)


def _between(sizes: list[int], measured: dict[int, float]) -> Float64Array:
    """Return the distortion of each size: measured, or on the line through the two nearest in logarithms."""
    if measured[1] <= 0 or len(measured) == 1:
        return np.full(len(sizes), measured[1])
    smallest = measured[1] * _NOTHING
    x = np.log2(list(measured))
    y = np.log(np.maximum(list(measured.values()), smallest))
    wanted = np.log2(sizes)
    right = np.clip(np.searchsorted(x, wanted), 1, len(x) - 1)
    slope = np.minimum((y[right] - y[right - 1]) / (x[right] - x[right - 1]), 0)
    found = np.exp(y[right - 1] + slope * (wanted - x[right - 1]))
    return np.where(found <= smallest, 0.0, found)


@dataclass(frozen=True)
class Codebook:
    """One of several nested codebooks.

    Attributes:
        table: codewords, float32 (K, size of the subspace).
        codes: the codeword of each category of the sample, uint16 (n,).
    """

    table: Float32Array
    codes: UInt16Array

    def decoded(self) -> Float32Array:
        """Return the codewords of the categories of the sample, float32 (n, size of the subspace)."""
        return self.table[self.codes]


@dataclass(frozen=True)
class NestedCodebooks:
    """The codebooks of some number of subspaces.

    Attributes:
        metric: in which they were made.
        distortion: of each of them in that metric.
        expected: rise of the loss per row by each of them, float64 (subspaces, sizes): what ``distortion`` says of
            those that were made in the metric of the loss.
        codebooks: of each subspace and size.
    """

    metric: Metric
    distortion: RateDistortion
    expected: Float64Array
    codebooks: tuple[tuple[Codebook, ...], ...]


def nested_codebooks(
    field: FieldWeights, subspaces: int, members: Int64Array, metric: Metric, *, seed: int
) -> NestedCodebooks:
    """Return codebooks of a tier's embeddings.

    Args:
        field: its weights.
        subspaces: number of subspaces.
        members: the categories of the tier that are in the sample, int64 (n,).
        metric: in which codebooks are made.
        seed: of k-means.
    """
    weights, field = field, field.in_metric(metric)
    largest = min(LARGEST_CODEBOOKS[subspaces], _MOST_NESTED_CODEWORDS)
    sizes = codebook_sizes(field.cardinality, largest)
    trained = _training_sample(field.cardinality, seed)
    codebooks, errors, expected = [], [], []
    for space in whitened_subspaces(field.hessian, subspaces):
        points = space.whiten(field.embeddings)
        found, distortions = _grow(points, field.frequencies, trained, members, sizes, seed)
        codebooks.append(tuple(Codebook(space.codewords(centroids), codes) for centroids, codes in found))
        errors.append(0.5 * space.scale * distortions)
        if metric != "fm":
            tables = [codebook.table for codebook in codebooks[-1]]
            expected.append(_expected_rises(weights, trained, slice(space.start, space.end), tables))
    distortion = RateDistortion(tuple(sizes), np.array(errors))
    return NestedCodebooks(metric, distortion, np.array(expected) if expected else distortion.errors, tuple(codebooks))


def nested_linear_codebooks(field: FieldWeights, members: Int64Array, *, seed: int) -> NestedCodebooks:
    """Return codebooks of the linear weights, as of one subspace; arguments are those of ``nested_codebooks``."""
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    trained = _training_sample(field.cardinality, seed)
    points = np.ascontiguousarray(field.linear[:, None])
    found, distortions = _grow(points, field.frequencies, trained, members, sizes, seed)
    errors = 0.5 * field.curvature * distortions
    return NestedCodebooks(
        "fm", RateDistortion(tuple(sizes), errors[None]), errors[None], (tuple(Codebook(*one) for one in found),)
    )


def _expected_rises(
    field: FieldWeights, trained: Int64Array, subspace: slice, tables: list[Float32Array]
) -> Float64Array:
    """Return the expected rise of the loss with each codebook, nearest in plain distance, float64 (sizes,)."""
    points = np.ascontiguousarray(field.embeddings[trained, subspace])
    own = field.frequencies[trained]
    share = float(field.frequencies.sum()) / float(own.sum())
    hessian = field.hessian[subspace, subspace]
    found = []
    for table in tables:
        shift = (table[nearest(points, table)[1]] - points).astype(np.float64)
        found.append(0.5 * share * float(own @ np.einsum("nd,nd->n", shift @ hessian, shift)))
    return np.array(found)


def _training_sample(cardinality: int, seed: int) -> Int64Array:
    if cardinality <= _SAMPLE:
        return np.arange(cardinality)
    return np.random.default_rng(seed).permutation(cardinality)[:_SAMPLE]


def _grow(
    points: Float32Array,
    weights: Float64Array,
    trained: Int64Array,
    members: Int64Array,
    sizes: list[int],
    seed: int,
) -> tuple[list[tuple[Float32Array, UInt16Array]], Float64Array]:
    """Return centroids and codes of the members for each size, and Σ_i p_i ‖x_i − centroid‖² on the training sample."""
    train, own = points[trained], weights[trained].astype(np.float32)
    share = float(weights.sum()) / float(own.sum())
    centroids = np.average(train, axis=0, weights=own).astype(np.float32)[None]
    found, distortions = [], []
    for size in sizes:
        if size > 1:
            centroids = train_centroids(train, own, size, seed=seed, iterations=_ITERATIONS, start=centroids)
        distances, _ = nearest(train, centroids)
        distortions.append(share * float(distances.astype(np.float64) @ own))
        codes = nearest(points[members], centroids)[1] if len(members) else np.empty(0)
        found.append((centroids, codes.astype(np.uint16)))
    return found, np.minimum.accumulate(distortions)
