"""Nested codebooks of a tier, from few codewords to many, each started from the one before.

Where candidates are measured on rows, each of their codebooks is needed, but just for the categories in those rows, and
just good enough to choose by.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.methods.auto.rate_distortion import (
    LARGEST_CODEBOOKS,
    LARGEST_LINEAR_CODEBOOK,
    RateDistortion,
    codebook_sizes,
    nested_centroids,
)
from fmcompress.quantization.field_weights import FieldWeights, Metric, Subspace, whitened_subspaces
from fmcompress.quantization.kmeans import nearest
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt16Array

_SAMPLE = 8_192
_MOST_CODEWORDS = 512


@dataclass(frozen=True)
class NestedCodebook:
    """One of several nested codebooks.

    Attributes:
        table: codewords, float32 (K, size of the subspace).
        codes: the codeword of each category in the rows, uint16 (n,).
        expected: rise of the loss per row by it, however it was made.
    """

    table: Float32Array
    codes: UInt16Array
    expected: float

    def decoded(self) -> Float32Array:
        """Return the codewords of the categories in the rows, float32 (n, size of the subspace)."""
        return self.table[self.codes]


@dataclass(frozen=True)
class NestedCodebooks:
    """The codebooks of some number of subspaces.

    Attributes:
        metric: in which they were made.
        distortion: of each of them in that metric.
        by_size: those of each subspace, by their number of codewords.
    """

    metric: Metric
    distortion: RateDistortion
    by_size: tuple[dict[int, NestedCodebook], ...]

    def of(self, codewords: Sequence[int]) -> list[NestedCodebook]:
        """Return the codebooks of all subspaces with so many codewords each."""
        return [own[size] for own, size in zip(self.by_size, codewords, strict=True)]

    def decoded(self, codewords: Sequence[int]) -> Float32Array:
        """Return the vectors of the categories in the rows with so many codewords, float32 (n, dim)."""
        return np.concatenate([codebook.decoded() for codebook in self.of(codewords)], axis=1)

    def expected(self, codewords: Sequence[int]) -> float:
        """Return the expected rise of the loss per row with so many codewords."""
        return float(np.array([codebook.expected for codebook in self.of(codewords)]).sum())


def nested_codebooks(
    field: FieldWeights, subspaces: int, members: Int64Array, metric: Metric, *, seed: int
) -> NestedCodebooks:
    """Return codebooks of a tier's embeddings.

    Args:
        field: its weights.
        subspaces: number of subspaces.
        members: the categories of the tier that are in the rows, int64 (n,).
        metric: in which codebooks are made.
        seed: of k-means.
    """
    made = field.in_metric(metric)
    sizes = codebook_sizes(field.cardinality, min(LARGEST_CODEBOOKS[subspaces], _MOST_CODEWORDS))
    trained = _training_sample(field.cardinality, seed)
    by_size, errors = [], []
    for space in whitened_subspaces(made.hessian, subspaces):
        points = space.whiten(made.embeddings)
        centroids, codes, distortions = _nested(points, made.frequencies, trained, members, sizes, seed)
        tables = list(map(space.codewords, centroids))
        errors.append(0.5 * space.scale * distortions)
        expected = errors[-1] if metric == "fm" else _expected_rises(field, trained, space, tables)
        by_size.append(_by_size(tables, codes, expected))
    return NestedCodebooks(metric, RateDistortion(tuple(sizes), np.array(errors)), tuple(by_size))


def nested_linear_codebooks(field: FieldWeights, members: Int64Array, *, seed: int) -> NestedCodebooks:
    """Return codebooks of the linear weights, as of one subspace.

    Args:
        field: its weights.
        members: the categories of the tier that are in the rows, int64 (n,).
        seed: of k-means.
    """
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    trained = _training_sample(field.cardinality, seed)
    points = np.ascontiguousarray(field.linear[:, None])
    tables, codes, distortions = _nested(points, field.frequencies, trained, members, sizes, seed)
    errors = 0.5 * field.curvature * distortions
    return NestedCodebooks("fm", RateDistortion(tuple(sizes), errors[None]), (_by_size(tables, codes, errors),))


def _by_size(
    tables: Sequence[Float32Array], codes: Sequence[UInt16Array], expected: Float64Array
) -> dict[int, NestedCodebook]:
    found = map(NestedCodebook, tables, codes, expected.tolist())
    return {len(codebook.table): codebook for codebook in found}


def _expected_rises(
    field: FieldWeights, trained: Int64Array, space: Subspace, tables: Sequence[Float32Array]
) -> Float64Array:
    """Return the expected rise of the loss with each codebook, nearest in plain distance, float64 (sizes,)."""
    subspace = slice(space.start, space.end)
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


def _nested(
    points: Float32Array, weights: Float64Array, trained: Int64Array, members: Int64Array, sizes: list[int], seed: int
) -> tuple[list[Float32Array], list[UInt16Array], Float64Array]:
    """Return centroids and codes of the members for each size, and Σ_i p_i ‖x_i − centroid‖² on the training sample."""
    train, own = points[trained], weights[trained].astype(np.float32)
    share = float(weights.sum()) / float(own.sum())
    tables, codes, distortions = [], [], []
    for centroids in nested_centroids(train, own, sizes, seed=seed):
        distances, _ = nearest(train, centroids)
        distortions.append(share * float(distances @ own))
        numbers = nearest(points[members], centroids)[1] if len(members) else np.empty(0)
        tables.append(centroids)
        codes.append(numbers.astype(np.uint16))
    return tables, codes, np.minimum.accumulate(distortions)
