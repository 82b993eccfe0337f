"""Rate and distortion: the expected loss of a tier's embeddings with codebooks of each size, subspace by subspace.

They are measured on a sample of the categories, at every fourth codebook size, each codebook starting from the one
before, with few iterations: good enough to choose by, at a fraction of the work of final codebooks. Between and beyond
the measured sizes the logarithm of the distortion is taken as linear in the logarithm of the size, as it is for fine
quantizers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from fmcompress.fm.disk_table import whole
from fmcompress.quantization.drawn_categories import drawn_categories
from fmcompress.quantization.field_weights import FieldWeights, whitened_subspaces
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.types import Float32Array, Float64Array, Int64Array

LARGEST_CODEBOOKS = {1: 4096, 2: 4096, 4: 2048, 8: 1024, 16: 256, 32: 256}
"""Numbers of subspaces that are candidates, and the most codewords that each may have."""

LARGEST_LINEAR_CODEBOOK = 256

_SAMPLE = 8_192
_HELD_OUT = 4_096
_MEASURED_SIZES = (1, 4, 16, 64, 256, 1024)
# A distortion below this share of the variance is none.
_NOTHING = 1e-9
_TINY = float(np.finfo(np.float64).tiny)
_LARGE = 1e12
_ITERATIONS = 3
_MEASURED_SUBSPACES = 4


@dataclass(frozen=True)
class RateDistortion:
    """Errors of the codebooks of a tier's embeddings, cut into some number of subspaces.

    Attributes:
        sizes: codewords of a codebook, rising powers of two from 1 on.
        errors: expected rise of the loss per row by each subspace with each size, float64 (subspaces, sizes).
        largest: the largest size of a number in its codewords, or about that, float64 (subspaces, sizes).
    """

    sizes: tuple[int, ...]
    errors: Float64Array
    largest: Float64Array


def candidate_subspaces(dim: int) -> list[int]:
    """Return the numbers of subspaces that are candidates for embeddings of size ``dim``."""
    return [subspaces for subspaces in LARGEST_CODEBOOKS if subspaces <= dim]


def codebook_sizes(cardinality: int, largest: int) -> list[int]:
    """Return powers of two, from one codeword up to a quarter of the categories."""
    return [1, *(1 << bits for bits in range(1, 13) if 1 << bits <= min(largest, cardinality // 4))]


def nested_centroids(
    points: Float32Array, weights: Float32Array, sizes: Iterable[int], *, seed: int
) -> Iterator[Float32Array]:
    """Yield k-means centroids of each size, float32 (size, d), each started from those before.

    Args:
        points: float32 (n, d).
        weights: float32 (n,).
        sizes: rising, from 1 on.
        seed: of k-means.
    """
    centroids = np.average(points, axis=0, weights=weights).astype(np.float32)[None]
    for size in sizes:
        if size > 1:
            centroids = train_centroids(points, weights, size, seed=seed, iterations=_ITERATIONS, start=centroids)
        yield centroids


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
    measured, reach = np.zeros(len(sizes)), np.zeros(len(sizes))
    variances, largest = np.zeros(subspaces), np.zeros(subspaces)
    large = field.is_large
    vectors = field.drawn(_SAMPLE + _HELD_OUT, seed=seed)[1] if large else whole(field.embeddings)
    for number, space in enumerate(spaces):
        points = space.whiten(vectors)
        variances[number] = space.variance(field.covariance) if large else _variance(points, field.frequencies)
        largest[number] = float(np.abs(vectors[:, space.start : space.end]).max(initial=0))
        if number % every == 0:
            found = _distortions(points if large else points[sample.categories], sample, sizes, seed, space.codewords)
            measured += found[0]
            reach = np.maximum(reach, found[1] / max(largest[number], _TINY))
    shape = measured / measured[0] if measured[0] else np.zeros(len(sizes))
    errors = 0.5 * spaces[0].scale * variances[:, None] * shape
    return RateDistortion(tuple(sizes), errors, largest[:, None] * np.minimum(reach, 1))


def linear_distortion(field: FieldWeights, *, seed: int) -> RateDistortion:
    """Return the expected loss of codebooks of the linear weights, as of one subspace."""
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    sample = _sample(field, seed)
    points = field.linear[sample.categories, None]
    distortions, largest = _distortions(points, sample, sizes, seed, np.asarray)
    return RateDistortion(tuple(sizes), 0.5 * field.curvature * distortions[None], largest[None])


def _variance(points: Float32Array | Float64Array, weights: Float64Array) -> float:
    mean = weights @ points / weights.sum()
    if np.abs(mean).max() > _LARGE or float(np.abs(points).max()) > _LARGE:  # squares are beyond fp32
        points = points.astype(np.float64)
    return max(float(weights @ np.einsum("nd,nd->n", points, points)) - float(weights.sum() * (mean @ mean)), 0.0)


@dataclass(frozen=True)
class _Sample:
    """Categories to train codebooks on, and others to measure them on; the same where a field is small.

    Attributes:
        categories: all of them, int64 (n,).
        train: which of these to train on.
        train_weights: float32 (trained,).
        measure: which of these to measure on.
        measure_weights: float32 (measured,).
    """

    categories: Int64Array
    train: slice
    train_weights: Float32Array
    measure: slice
    measure_weights: Float32Array


def _sample(field: FieldWeights, seed: int) -> _Sample:
    weights = field.frequencies.astype(np.float32)
    if field.cardinality <= _SAMPLE + _HELD_OUT:
        everything = slice(None)
        return _Sample(np.arange(field.cardinality), everything, weights, everything, weights)
    drawn = drawn_categories(field.cardinality, _SAMPLE + _HELD_OUT, seed=seed)
    train, measure = slice(0, _SAMPLE), slice(_SAMPLE, None)
    own = weights[drawn]
    # The measured ones stand for all categories.
    measured = own[measure] * (weights.sum() / own[measure].sum())
    return _Sample(drawn, train, own[train], measure, measured.astype(np.float32))


def _distortions(
    points: Float32Array,
    sample: _Sample,
    sizes: list[int],
    seed: int,
    codewords: Callable[[Float32Array], Float32Array],
) -> tuple[Float64Array, Float64Array]:
    """Return Σ_i p_i ‖x_i − centroid‖² and the largest number in codewords, for each number of centroids.

    Args:
        points: of a sample, float32 (n, d).
        sample: which these are.
        sizes: numbers of centroids, rising from 1 on.
        seed: of k-means.
        codewords: of centroids.
    """
    measure = points[sample.measure]
    some = sorted({1, *(size for size in sizes if size in _MEASURED_SIZES), min(sizes[-1], _MEASURED_SIZES[-1])})
    measured, largest = {}, {}
    for centroids in nested_centroids(points[sample.train], sample.train_weights, some, seed=seed):
        distances, _ = nearest(measure, centroids)
        measured[len(centroids)] = float(distances @ sample.measure_weights)
        largest[len(centroids)] = float(np.abs(codewords(centroids)).max())
    reach = np.interp(np.log2(sizes), np.log2(list(largest)), list(largest.values()))
    return _between(sizes, measured), np.maximum.accumulate(reach)


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
