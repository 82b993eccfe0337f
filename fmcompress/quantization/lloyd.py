"""Lloyd's algorithm on clouds of points that many codebooks are made for: what pricing does thousands of times.

Points of a few coordinates are compared with all centroids by one product of matrices: x·c − ½ ‖c‖² is largest for the
nearest. That takes a tenth of the time of faiss, whose distances of small vectors cost the same whatever their size.
Points on a line are sorted once; then a codebook is but its boundaries among them. All of it runs in BLAS and in loops
that release the interpreter's lock, one thread each, so that clouds can be worked on side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from fmcompress.types import Float32Array, Float64Array, Int64Array

# Products of so many numbers stay in the cache until the largest is found.
_BLOCK_VALUES = 65_536
# So few columns are added up one by one: a sparse matrix takes as long to make as to multiply.
_FEW_COLUMNS = 9
_PREPARED_POINTS = 16_384
_SHIFT = 1 / 1024


class Cloud(Protocol):
    """Weighted points, prepared for many codebooks."""

    def codes(self, centroids: Float32Array) -> Int64Array:
        """Return the number of each point's nearest centroid, int64 (n,), of float32 (k, d)."""

    def moved(self, centroids: Float32Array) -> Float32Array:
        """Return centroids after one iteration, float32 (k, d): each in the middle of the points nearest to it."""

    def trained(self, centroids: Float32Array, iterations: int) -> Float32Array:
        """Return centroids, float32 (k, d), after iterations, those without points put where there are some."""


def cloud_of(points: Float32Array, weights: Float32Array) -> Cloud:
    """Return points as a cloud.

    Args:
        points: float32 (n, d), of ordinary size: their squares are within fp32.
        weights: float32 (n,), not negative.
    """
    return Line.of(points, weights) if points.shape[1] == 1 else Space.of(points, weights)


def iterated(cloud: Cloud, centroids: Float32Array, iterations: int) -> Float32Array:
    """Return centroids after some of Lloyd's iterations, float32 (k, d)."""
    for _ in range(iterations):
        centroids = cloud.moved(centroids)
    return centroids


def nearest_of_many(points: Float32Array, centroids: Float32Array) -> tuple[Float64Array, Int64Array]:
    """Return squared distance, float64 (n,), and number, int64 (n,), of each point's nearest centroid.

    Args:
        points: float32 (n, d), of ordinary size.
        centroids: float32 (k, d).
    """
    if points.shape[1] == 1:
        order = np.argsort(centroids[:, 0], kind="stable")
        numbers = order[np.searchsorted(_middles(centroids[order, 0]), points[:, 0])]
        return np.square(points[:, 0].astype(np.float64) - centroids[numbers, 0]), numbers
    centre = centroids.mean(axis=0, dtype=np.float64).astype(np.float32)
    squares, numbers = np.empty(len(points)), np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _PREPARED_POINTS):
        rows = slice(start, start + _PREPARED_POINTS)
        block = points[rows]
        ones = np.ones((len(block), 1), dtype=np.float32)
        own = _nearest(np.concatenate([block - centre, ones], axis=1), centroids - centre)
        shift = block - centroids[own]
        numbers[rows], squares[rows] = own, np.einsum("nd,nd->n", shift, shift)
    return squares, numbers


def _middles(rising: Float32Array) -> Float64Array:
    """Return the points between neighbours, float64 (n - 1,), of rising centroids, float32 (n,)."""
    return 0.5 * (rising[1:].astype(np.float64) + rising[:-1])


def _nearest(points: Float32Array, centroids: Float32Array) -> Int64Array:
    """Return the number of each point's nearest centroid, int64 (n,).

    Args:
        points: with a 1 behind, float32 (n, d + 1).
        centroids: float32 (k, d).
    """
    found = np.zeros(len(points), dtype=np.int64)
    if len(centroids) == 1:
        return found
    norms = -0.5 * (centroids * centroids).sum(axis=1, keepdims=True)
    turned = np.ascontiguousarray(np.concatenate([centroids, norms], axis=1).T)
    rows = max(16, _BLOCK_VALUES // len(centroids))
    products = np.empty((rows, len(centroids)), dtype=np.float32)
    for start in range(0, len(found), rows):
        block = points[start : start + rows]
        part = np.matmul(block, turned, out=products[: len(block)])
        np.argmax(part, axis=1, out=found[start : start + rows])
    return found


def _split(centroids: Float32Array, weights: Float32Array) -> Float32Array:
    """Return centroids of which those without weight have half of the heaviest one's points, as in faiss."""
    for empty in np.flatnonzero(weights <= 0).tolist():
        heaviest = int(weights.argmax())
        signs = np.where(np.arange(centroids.shape[1]) % 2, -_SHIFT, _SHIFT).astype(np.float32)
        centroids[empty] = centroids[heaviest] * (1 + signs)
        centroids[heaviest] = centroids[heaviest] * (1 - signs)
        weights[empty] = weights[heaviest] = weights[heaviest] / 2
    return centroids


@dataclass(frozen=True)
class Space:
    """Points of several coordinates.

    Attributes:
        points: less their mean, with a 1 behind, float32 (n, d + 1).
        centre: their mean, float32 (d,).
        weights: float32 (n,).
    """

    points: Float32Array
    centre: Float32Array
    weights: Float32Array

    @classmethod
    def of(cls, points: Float32Array, weights: Float32Array) -> Space:
        """Return points, float32 (n, d), with weights, float32 (n,), as a cloud."""
        centre = (points.sum(axis=0, dtype=np.float64) / max(1, len(points))).astype(np.float32)
        ones = np.ones((len(points), 1), dtype=np.float32)
        return cls(np.concatenate([points - centre, ones], axis=1), centre, weights)

    def codes(self, centroids: Float32Array) -> Int64Array:
        """Return the number of each point's nearest centroid, int64 (n,)."""
        return _nearest(self.points, centroids - self.centre)

    def moved(self, centroids: Float32Array) -> Float32Array:
        """Return centroids, float32 (k, d), after one iteration; those without points stay where they are."""
        return self._moved(centroids)[0]

    def trained(self, centroids: Float32Array, iterations: int) -> Float32Array:
        """Return centroids, float32 (k, d), after iterations; those without points take half of a heavy one's."""
        for _ in range(iterations):
            centroids = _split(*self._moved(centroids))
        return centroids

    def _moved(self, centroids: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return centroids after one iteration, float32 (k, d), and the weight of their points, float32 (k,)."""
        sums = self._sums(self.codes(centroids), len(centroids))
        weights = sums[:, -1:]
        means = sums[:, :-1] / np.maximum(weights, np.finfo(np.float32).tiny) + self.centre
        return np.where(weights > 0, means, centroids), weights[:, 0]

    def _sums(self, codes: Int64Array, k: int) -> Float32Array:
        """Return the weighted sum of the points of each centroid, and their weight, float32 (k, d + 1)."""
        if self.points.shape[1] <= _FEW_COLUMNS:
            sums = [np.bincount(codes, self.weights * column, k) for column in self.points.T]
            return np.stack(sums, axis=1).astype(np.float32)
        ends = np.arange(len(codes) + 1)
        return np.asarray(csr_array((self.weights, codes, ends), shape=(len(codes), k)).T @ self.points)


@dataclass(frozen=True)
class Line:
    """Points of one coordinate, sorted.

    Attributes:
        order: place of each sorted point, int64 (n,).
        points: rising, float64 (n,).
        weights: float64 (n,).
    """

    order: Int64Array
    points: Float64Array
    weights: Float64Array

    @classmethod
    def of(cls, points: Float32Array, weights: Float32Array) -> Line:
        """Return points, float32 (n, 1), with weights, float32 (n,), as a cloud."""
        order = np.argsort(points[:, 0], kind="stable")
        return cls(order, points[order, 0].astype(np.float64), weights[order].astype(np.float64))

    @cached_property
    def _sums(self) -> Float64Array:
        """Weights, and weighted points less the first one, of all before each point, float64 (2, n + 1)."""
        found = np.zeros((2, len(self.points) + 1))
        np.cumsum(self.weights, out=found[0, 1:])
        np.cumsum(self.weights * (self.points - self.points[0]), out=found[1, 1:])
        return found

    def codes(self, centroids: Float32Array) -> Int64Array:
        """Return the number of each point's nearest centroid, int64 (n,)."""
        order = np.argsort(centroids[:, 0], kind="stable")
        found = np.empty(len(self.points), dtype=np.int64)
        found[self.order] = np.repeat(order, np.diff(self._bounds(centroids[order, 0])))
        return found

    def moved(self, centroids: Float32Array) -> Float32Array:
        """Return centroids after one iteration, rising, float32 (k, 1); those without points stay where they are."""
        rising = np.sort(centroids[:, 0])
        weights, sums = np.diff(self._sums[:, self._bounds(rising)])
        means = sums / np.where(weights > 0, weights, 1) + self.points[0]
        return np.where(weights > 0, means, rising).astype(np.float32)[:, None]

    def trained(self, centroids: Float32Array, iterations: int) -> Float32Array:
        """Return centroids, rising, float32 (k, 1), after iterations."""
        return iterated(self, centroids, iterations)

    def _bounds(self, rising: Float32Array) -> Int64Array:
        """Return the first of the points of each centroid, and the end, int64 (k + 1,)."""
        inner = np.searchsorted(self.points, _middles(rising))
        return np.concatenate([[0], inner, [len(self.points)]])
