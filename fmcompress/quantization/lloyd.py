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


class Cloud(Protocol):
    """Weighted points, prepared for many codebooks."""

    def codes(self, centroids: Float32Array) -> Int64Array:
        """Return the number of each point's nearest centroid, int64 (n,), of float32 (k, d)."""

    def moved(self, centroids: Float32Array) -> Float32Array:
        """Return centroids after one iteration, float32 (k, d): each in the middle of the points nearest to it."""


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
        centre = points.mean(axis=0, dtype=np.float64).astype(np.float32)
        ones = np.ones((len(points), 1), dtype=np.float32)
        return cls(np.concatenate([points - centre, ones], axis=1), centre, weights)

    def codes(self, centroids: Float32Array) -> Int64Array:
        """Return the number of each point's nearest centroid, int64 (n,)."""
        found = np.zeros(len(self.points), dtype=np.int64)
        if len(centroids) == 1:
            return found
        own = centroids - self.centre
        turned = np.ascontiguousarray(np.concatenate([own, -0.5 * (own * own).sum(axis=1, keepdims=True)], axis=1).T)
        rows = max(16, _BLOCK_VALUES // len(own))
        products = np.empty((rows, len(own)), dtype=np.float32)
        for start in range(0, len(found), rows):
            block = self.points[start : start + rows]
            part = np.matmul(block, turned, out=products[: len(block)])
            np.argmax(part, axis=1, out=found[start : start + rows])
        return found

    def moved(self, centroids: Float32Array) -> Float32Array:
        """Return centroids, float32 (k, d), after one iteration; those without points stay where they are."""
        sums = self._sums(self.codes(centroids), len(centroids))
        weights = sums[:, -1:]
        means = sums[:, :-1] / np.maximum(weights, np.finfo(np.float32).tiny) + self.centre
        return np.where(weights > 0, means, centroids)

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

    def _bounds(self, rising: Float32Array) -> Int64Array:
        """Return the first of the points of each centroid, and the end, int64 (k + 1,)."""
        middles = 0.5 * (rising[1:].astype(np.float64) + rising[:-1])
        inner = np.searchsorted(self.points, middles)
        return np.concatenate([[0], inner, [len(self.points)]])
