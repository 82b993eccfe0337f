"""The menu: the ways in which a field can be stored, with their bytes and what they are expected to cost.

Distortion curves are measured on a sample of a field's categories, at every fourth codebook size, each codebook
starting from the one before, with few iterations: good enough to choose by, at a fraction of the work of final
codebooks. Between and beyond the measured sizes the logarithm of the distortion is taken as linear in the
logarithm of the size, as it is for fine quantizers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from fmcompress.quantization.kmeans import Points, nearest, train_centroids
from fmcompress.quantization.metric import whitened_subspaces
from fmcompress.quantization.sensitivity import Floats
from fmcompress.quantizer import Quantizer

LARGEST_CODEBOOKS = {1: 4096, 2: 4096, 4: 2048, 8: 1024, 16: 256, 32: 256}
"""Numbers of subspaces on the menu, and the most codewords that each may have."""

LARGEST_LINEAR_CODEBOOK = 256

_SAMPLE = 8_192
_HELD_OUT = 4_096
_MEASURED_SIZES = (1, 4, 16, 64, 256, 1024)
# A distortion below this share of the variance is none.
_NOTHING = 1e-9
_ITERATIONS = 3
_MEASURED_SUBSPACES = 4


@dataclass(frozen=True)
class Option:
    """A way to store a field.

    Attributes:
        quantizer: how it is stored.
        payload_bytes: what that takes in the artifact.
        error: expected rise of the loss per row.
    """

    quantizer: Quantizer
    payload_bytes: int
    error: float


@dataclass(frozen=True)
class FieldWeights:
    """A field of the factorization machine, and what errors in it cost.

    Attributes:
        embeddings: float32 (cardinality, dim).
        linear: float32 (cardinality,).
        frequencies: p_i, float64 (cardinality,).
        hessian: H_f, float64 (dim, dim).
        curvature: h_f.
    """

    embeddings: Points
    linear: Points
    frequencies: Floats
    hessian: Floats
    curvature: float

    @property
    def cardinality(self) -> int:
        """Number of categories."""
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        """Embedding size l."""
        return int(self.embeddings.shape[1])


Curve = list[tuple[tuple[int, ...], float]]
"""Quantizers of a field's embeddings, by their codewords, each with its error."""


def field_menu(field: FieldWeights, curves: Iterable[Curve], *, seed: int) -> list[Option]:
    """Return the options of a field that no other one beats in both bytes and error, by rising bytes.

    Args:
        field: the field.
        curves: the curve of each number of subspaces, see ``embedding_curve``.
        seed: of samples and k-means.
    """
    raw: Curve = [((), 0.0)]
    linear = _linear_curve(field, seed)
    options = [
        Option(quantizer, quantizer.payload_bytes(field.cardinality, field.dim), error + linear_error)
        for codewords, error in chain(raw, *curves)
        for linear_codewords, linear_error in linear
        for quantizer in (Quantizer(codewords, linear_codewords),)
    ]
    return pareto(options)


def pareto(options: Iterable[Option]) -> list[Option]:
    """Return the options that no other one beats in both bytes and error, by rising bytes."""
    best: list[Option] = []
    for option in sorted(options, key=lambda o: (o.payload_bytes, o.error)):
        if not best or option.error < best[-1].error:
            best.append(option)
    return best


def subspaces_on_menu(dim: int) -> list[int]:
    """Return the numbers of subspaces on the menu of embeddings of size ``dim``."""
    return [subspaces for subspaces in LARGEST_CODEBOOKS if subspaces <= dim]


def embedding_curve(field: FieldWeights, subspaces: int, *, seed: int) -> Curve:
    """Return the quantizers with this number of subspaces, each with its error.

    Args:
        field: the field.
        subspaces: their number, one of ``subspaces_on_menu``.
        seed: of samples and k-means.
    """
    sizes = _sizes(field.cardinality, LARGEST_CODEBOOKS[subspaces])
    errors = _product_distortions(field, subspaces, _sample(field, seed), sizes, seed)
    first = 0 if subspaces == 1 else 1  # one codeword per subspace is the shared vector again
    return [((size,) * subspaces, float(error)) for size, error in zip(sizes[first:], errors[first:], strict=True)]


def _product_distortions(field: FieldWeights, subspaces: int, sample: _Sample, sizes: list[int], seed: int) -> Floats:
    """Return the expected loss with each codebook size, float64 (sizes,).

    The first size is 1: its error is a variance, and known exactly. How it falls with the size is much the same
    in all subspaces of a field, so a few of them are measured.
    """
    spaces = whitened_subspaces(field.hessian, subspaces)
    every = -(-subspaces // _MEASURED_SUBSPACES)
    measured = np.zeros(len(sizes))
    variance = 0.0
    for number, space in enumerate(spaces):
        points = space.whiten(field.embeddings)
        variance += _variance(points, field.frequencies)
        if number % every == 0:
            measured += _distortions(points, sample, sizes, seed)
    shape = measured / measured[0] if measured[0] else np.zeros(len(sizes))
    return 0.5 * spaces[0].scale * variance * shape


def _variance(points: Points, weights: Floats) -> float:
    mean = weights @ points / weights.sum()
    return float(weights @ np.einsum("nd,nd->n", points, points)) - float(weights.sum() * (mean @ mean))


def _linear_curve(field: FieldWeights, seed: int) -> list[tuple[int, float]]:
    sizes = _sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    errors = 0.5 * field.curvature * _distortions(field.linear[:, None], _sample(field, seed), sizes, seed)
    return [(0, 0.0), *zip(sizes, map(float, errors), strict=True)]


def _sizes(cardinality: int, largest: int) -> list[int]:
    """Return powers of two, from one codeword up to a quarter of the categories."""
    return [1, *(1 << bits for bits in range(1, 13) if 1 << bits <= min(largest, cardinality // 4))]


@dataclass(frozen=True)
class _Sample:
    """Categories to train codebooks on, and others to measure them on; the same where a field is small."""

    train: np.ndarray
    train_weights: np.ndarray
    measure: np.ndarray
    measure_weights: np.ndarray


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


def _distortions(points: Points, sample: _Sample, sizes: list[int], seed: int) -> Floats:
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


def _between(sizes: list[int], measured: dict[int, float]) -> Floats:
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
