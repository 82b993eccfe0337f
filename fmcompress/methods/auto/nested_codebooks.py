"""Nested codebooks of a tier, from few codewords to many, each started from the one before.

Where candidates are measured on rows, each of their codebooks is needed, but just for the categories in those rows, and
just good enough to choose by.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.numbers import tables_as_stored
from fmcompress.devices.working import working_device
from fmcompress.fm.quantizer import Quantizer
from fmcompress.methods.auto.rate_distortion import (
    LARGEST_CODEBOOKS,
    LARGEST_LINEAR_CODEBOOK,
    RateDistortion,
    codebook_sizes,
)
from fmcompress.quantization.drawn_categories import drawn_categories
from fmcompress.quantization.field_weights import FieldWeights, Metric, Subspace, whitened_subspaces
from fmcompress.quantization.kmeans import drawn_by_weight, power_of, times
from fmcompress.quantization.lloyd import cloud_of, iterated
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt16Array

_SAMPLE = 8_192
_MOST_CODEWORDS = 512
_ITERATIONS = 3


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

    def decoded(self, codewords: Sequence[int], quantizer: Quantizer | None = None) -> Float32Array:
        """Return the vectors of the categories in the rows with so many codewords, float32 (n, dim).

        Args:
            codewords: of each subspace.
            quantizer: how they are stored, for numbers as they are read back; None leaves them as they are.
        """
        found = self.of(codewords)
        tables = [codebook.table for codebook in found]
        stored = tables if quantizer is None else tables_as_stored(tables, quantizer)
        return np.concatenate([table[one.codes] for table, one in zip(stored, found, strict=True)], axis=1)

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
    sample = _Sample.of(made.frequencies, members, seed)
    by_size, errors, largest = [], [], []
    vectors, own = field.embeddings[sample.trained], field.embeddings[members]
    spaces = whitened_subspaces(made.hessian, subspaces)
    for space, found in zip(spaces, _of_spaces(spaces, vectors, own, sample, sizes), strict=True):
        tables = [space.codewords(one.centroids) for one in found]
        errors.append(0.5 * space.scale * sample.distortions(found))
        expected = errors[-1] if metric == "fm" else _expected_rises(field, space, tables, sample, vectors, found)
        by_size.append(_by_size(tables, found, expected))
        largest.append([np.abs(table).max() for table in tables])
    distortion = RateDistortion(tuple(sizes), np.array(errors), np.array(largest, dtype=np.float64))
    return NestedCodebooks(metric, distortion, tuple(by_size))


def nested_linear_codebooks(field: FieldWeights, members: Int64Array, *, seed: int) -> NestedCodebooks:
    """Return codebooks of the linear weights, as of one subspace.

    Args:
        field: its weights.
        members: the categories of the tier that are in the rows, int64 (n,).
        seed: of k-means.
    """
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    sample = _Sample.of(field.frequencies, members, seed)
    found = _nested(field.linear[sample.trained, None], field.linear[members, None], sample, sizes)
    errors = 0.5 * field.curvature * sample.distortions(found)
    by_size = _by_size([one.centroids for one in found], found, errors)
    largest = np.array([[np.abs(one.centroids).max() for one in found]], dtype=np.float64)
    return NestedCodebooks("fm", RateDistortion(tuple(sizes), errors[None], largest), (by_size,))


@dataclass(frozen=True)
class _Sample:
    """The categories that codebooks are trained on: all, or some that are drawn.

    Attributes:
        trained: these categories, int64 (n,).
        weights: their shares of the rows, float32 (n,).
        share: what their sum is multiplied by to be that of all categories.
        drawn: their places as codewords to start from, drawn in proportion to the weights, int64 (n,).
        members: the categories of the tier that are in the rows, int64 (m,).
    """

    trained: Int64Array
    weights: Float32Array
    share: float
    drawn: Int64Array
    members: Int64Array

    @classmethod
    def of(cls, frequencies: Float64Array, members: Int64Array, seed: int) -> _Sample:
        cardinality = len(frequencies)
        trained = np.arange(cardinality)
        if cardinality > _SAMPLE:
            trained = drawn_categories(cardinality, _SAMPLE, seed=seed)
        weights = frequencies[trained].astype(np.float32)
        share = float(frequencies.sum()) / float(weights.sum())
        return cls(trained, weights, share, drawn_by_weight(weights, seed), members)

    @property
    def whole(self) -> bool:
        """Whether codebooks are trained on all categories."""
        return len(self.trained) < _SAMPLE

    def distortions(self, found: Sequence[_Nested]) -> Float64Array:
        """Return Σ_i p_i ‖x_i − centroid‖² with each codebook, none larger than with the one before."""
        sums = [self.share * float(one.squares @ self.weights.astype(np.float64)) for one in found]
        return np.asarray(np.minimum.accumulate(sums))


@dataclass(frozen=True)
class _Nested:
    """Centroids, the nearest one of each trained category and of each member, and the former's squared distances."""

    centroids: Float32Array
    trained: Int64Array
    members: UInt16Array
    squares: Float64Array


def _of_spaces(
    spaces: Sequence[Subspace], vectors: Float32Array, members: Float32Array, sample: _Sample, sizes: Sequence[int]
) -> Iterable[list[_Nested]]:
    """Return centroids of each size in each subspace: one at a time, or all at once on a device."""
    device = working_device()
    if device is None:
        return (_nested(space.whiten(vectors), space.whiten(members), sample, sizes) for space in spaces)
    from fmcompress.methods.auto.device_codebooks import nested_on_device

    train, of_rows = ([space.whiten(some) for space in spaces] for some in (vectors, members))
    weights, drawn = sample.weights, sample.drawn
    made = nested_on_device(train, of_rows, weights, drawn, sizes, iterations=_ITERATIONS, device=device)
    return [[_Nested(*one) for one in own] for own in made]


def _nested(train: Float32Array, members: Float32Array, sample: _Sample, sizes: Sequence[int]) -> list[_Nested]:
    """Return centroids of each size, each started from those before.

    Args:
        train: points of the sample, float32 (n, d).
        members: points of the categories in the rows, float32 (m, d).
        sample: which these are.
        sizes: rising, from 1 on.
    """
    power = power_of(train)
    if power:
        train, members = times(train, power), times(members, power)
    cloud = cloud_of(train, sample.weights)
    rows = None if sample.whole else cloud_of(members, np.ones(len(members), dtype=np.float32))
    centroids = np.average(train, axis=0, weights=sample.weights).astype(np.float32)[None]
    found = []
    for size in sizes:
        if size > 1:
            more = train[sample.drawn[len(centroids) - 1 : size - 1]]
            centroids = iterated(cloud, np.concatenate([centroids, more]), _ITERATIONS)
        codes = cloud.codes(centroids)
        own = codes[sample.members] if rows is None else rows.codes(centroids)
        shift = (train - centroids[codes]).astype(np.float64)
        squares = np.ldexp(np.einsum("nd,nd->n", shift, shift), -2 * power)
        found.append(_Nested(times(centroids, -power), codes, own.astype(np.uint16), squares))
    return found


def _by_size(
    tables: Sequence[Float32Array], found: Sequence[_Nested], expected: Float64Array
) -> dict[int, NestedCodebook]:
    made = map(NestedCodebook, tables, (one.members for one in found), expected.tolist())
    return {len(codebook.table): codebook for codebook in made}


def _expected_rises(
    field: FieldWeights,
    space: Subspace,
    tables: Sequence[Float32Array],
    sample: _Sample,
    vectors: Float32Array,
    found: Sequence[_Nested],
) -> Float64Array:
    """Return the expected rise of the loss with each codebook, nearest in plain distance, float64 (sizes,).

    Args:
        field: the weights.
        space: a subspace.
        tables: its codebooks, float32 (K, size of the subspace) each.
        sample: the categories that they were trained on.
        vectors: embeddings of these, float32 (n, dim).
        found: centroids and codes.
    """
    subspace = slice(space.start, space.end)
    points = vectors[:, subspace]
    own = field.frequencies[sample.trained]
    share = float(field.frequencies.sum()) / float(own.sum())
    hessian = field.hessian[subspace, subspace]
    rises = []
    for table, one in zip(tables, found, strict=True):
        shift = (table[one.trained] - points).astype(np.float64)
        rises.append(0.5 * share * float(own @ np.einsum("nd,nd->n", shift @ hessian, shift)))
    return np.array(rises)
