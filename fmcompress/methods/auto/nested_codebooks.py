"""Chains of codebooks for the categories of a sample: from few codewords to many, each started from the one before.

Where options are priced on rows, each codebook of the menu is needed, but just for the categories in those rows, and
just good enough to choose by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmcompress.methods.auto.rate_distortion import LARGEST_CODEBOOKS, LARGEST_LINEAR_CODEBOOK, Curve, codebook_sizes
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.quantization.whitening import whitened_subspaces
from fmcompress.types import Float32Array, Float64Array

_SAMPLE = 8_192
_MOST_CODEWORDS = 512
_ITERATIONS = 3


@dataclass(frozen=True)
class Link:
    """A codebook of a chain.

    Attributes:
        table: codewords, float32 (K, size of the subspace).
        codes: the codeword of each category of the sample, uint16 (n,).
    """

    table: Float32Array
    codes: npt.NDArray[np.uint16]

    def decoded(self) -> Float32Array:
        """Return the codewords of the categories of the sample, float32 (n, size of the subspace)."""
        return self.table[self.codes]


@dataclass(frozen=True)
class Chain:
    """The codebooks of some number of subspaces.

    Attributes:
        metric: in which they were made.
        curve: what each of them costs in that metric.
        expected: rise of the loss per row by each of them, float64 (subspaces, sizes): what ``curve`` says of those
            that were made in the metric of the loss.
        links: of each subspace and size.
    """

    metric: Metric
    curve: Curve
    expected: Float64Array
    links: tuple[tuple[Link, ...], ...]


def embedding_chain(
    field: FieldWeights, subspaces: int, members: npt.NDArray[np.int64], metric: Metric, *, seed: int
) -> Chain:
    """Return codebooks of a part's embeddings.

    Args:
        field: its weights.
        subspaces: number of subspaces.
        members: the categories of the part that are in the sample, int64 (n,).
        metric: in which codebooks are made.
        seed: of k-means.
    """
    weights, field = field, field.in_metric(metric)
    largest = min(LARGEST_CODEBOOKS[subspaces], _MOST_CODEWORDS)
    sizes = codebook_sizes(field.cardinality, largest)
    trained = _training_sample(field.cardinality, seed)
    links, errors, expected = [], [], []
    for space in whitened_subspaces(field.hessian, subspaces):
        points = space.whiten(field.embeddings)
        found, distortions = _grown(points, field.frequencies, trained, members, sizes, seed)
        links.append(tuple(Link(space.codewords(centroids), codes) for centroids, codes in found))
        errors.append(0.5 * space.scale * distortions)
        if metric != "fm":
            tables = [link.table for link in links[-1]]
            expected.append(_expected(weights, trained, slice(space.start, space.end), tables))
    curve = Curve(tuple(sizes), np.array(errors))
    return Chain(metric, curve, np.array(expected) if expected else curve.errors, tuple(links))


def linear_chain(field: FieldWeights, members: npt.NDArray[np.int64], *, seed: int) -> Chain:
    """Return codebooks of a part's linear weights, as of one subspace; arguments are those of ``embedding_chain``."""
    sizes = codebook_sizes(field.cardinality, LARGEST_LINEAR_CODEBOOK)
    trained = _training_sample(field.cardinality, seed)
    points = np.ascontiguousarray(field.linear[:, None])
    found, distortions = _grown(points, field.frequencies, trained, members, sizes, seed)
    errors = 0.5 * field.curvature * distortions
    return Chain("fm", Curve(tuple(sizes), errors[None]), errors[None], (tuple(Link(*link) for link in found),))


def _expected(
    field: FieldWeights, trained: npt.NDArray[np.int64], subspace: slice, tables: list[Float32Array]
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


def _training_sample(cardinality: int, seed: int) -> npt.NDArray[np.int64]:
    if cardinality <= _SAMPLE:
        return np.arange(cardinality)
    return np.random.default_rng(seed).permutation(cardinality)[:_SAMPLE]


def _grown(
    points: Float32Array,
    weights: Float64Array,
    trained: npt.NDArray[np.int64],
    members: npt.NDArray[np.int64],
    sizes: list[int],
    seed: int,
) -> tuple[list[tuple[Float32Array, npt.NDArray[np.uint16]]], Float64Array]:
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
