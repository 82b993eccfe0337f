"""Weighted k-means: the only door to faiss.

faiss computes squared distances in fp32. Where they would overflow, or vanish, points are multiplied by a power of two.
"""

from typing import Any

import numpy as np

from fmcompress.errors import DependencyError
from fmcompress.types import Float32Array, Float64Array, Int64Array

_SMALL, _LARGE = 1e-12, 1e12


def train_centroids(
    points: Float32Array,
    weights: Float32Array,
    k: int,
    *,
    seed: int,
    iterations: int,
    start: Float32Array | None = None,
) -> Float32Array:
    """Return the centroids of weighted k-means, float32 (k, d).

    Args:
        points: float32 (n, d), n ≥ k.
        weights: float32 (n,), not negative.
        k: number of centroids.
        seed: of the first centroids.
        iterations: Lloyd iterations.
        start: centroids to start from, float32 (j, d) with j ≤ k; missing ones are drawn from the points,
            with probabilities in proportion to their weights.

    Raises:
        DependencyError: faiss is not installed.
    """
    faiss = _faiss()
    power = _power(points)
    if power:
        points, start = _times(points, power), None if start is None else _times(start, power)
    first = _draw(points, weights, k - (0 if start is None else len(start)), seed)
    if start is not None:
        first = np.concatenate([start, first])
    kmeans = faiss.Kmeans(
        points.shape[1], k, niter=iterations, seed=seed, min_points_per_centroid=1, max_points_per_centroid=len(points)
    )
    kmeans.train(np.ascontiguousarray(points), weights=weights, init_centroids=np.ascontiguousarray(first))
    centroids: Float32Array = kmeans.centroids
    return _times(centroids, -power) if power else centroids


def nearest(points: Float32Array, centroids: Float32Array) -> tuple[Float64Array, Int64Array]:
    """Return squared distance, float64 (n,), and number, int64 (n,), of each point's nearest centroid."""
    power = _power(points)
    if power:
        points, centroids = _times(points, power), _times(centroids, power)
    distances, numbers = _faiss().knn(np.ascontiguousarray(points), np.ascontiguousarray(centroids), 1)
    return np.ldexp(np.maximum(distances[:, 0], 0).astype(np.float64), -2 * power), numbers[:, 0]


def _power(points: Float32Array) -> int:
    """Return the power of two that brings points near 1; 0 where they are of usual size."""
    largest = max(float(points.max(initial=0)), -float(points.min(initial=0)))
    if largest == 0 or _SMALL < largest < _LARGE:
        return 0
    return 1 - int(np.frexp(largest)[1])


def _times(points: Float32Array, power: int) -> Float32Array:
    """Return points multiplied by a power of two, float32 of the same shape."""
    return np.ldexp(points, power).astype(np.float32)


def load() -> None:
    """Load faiss with the libraries that it brings.

    Raises:
        DependencyError: faiss is not installed.
    """
    _faiss()


def version() -> str:
    """Return the version of faiss."""
    return str(_faiss().__version__)


def _draw(points: Float32Array, weights: Float32Array, count: int, seed: int) -> Float32Array:
    """Draw distinct points without replacement, in proportion to their weights (Efraimidis and Spirakis)."""
    if count == 0:
        return points[:0]
    rng = np.random.default_rng(seed)
    keys = np.log(rng.random(len(points))) / np.maximum(weights, np.finfo(np.float32).tiny)
    return points[np.argpartition(keys, -count)[-count:]]


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise DependencyError(
            "faiss is not installed", hint="pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"
        ) from error
    return faiss
