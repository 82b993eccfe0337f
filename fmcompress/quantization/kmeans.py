"""Weighted k-means: the only door to faiss."""

from typing import Any

import numpy as np

from fmcompress.errors import DependencyError
from fmcompress.types import Float32Array, Int64Array


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
    first = _draw(points, weights, k - (0 if start is None else len(start)), seed)
    if start is not None:
        first = np.concatenate([start, first])
    kmeans = faiss.Kmeans(
        points.shape[1], k, niter=iterations, seed=seed, min_points_per_centroid=1, max_points_per_centroid=len(points)
    )
    kmeans.train(np.ascontiguousarray(points), weights=weights, init_centroids=np.ascontiguousarray(first))
    centroids: Float32Array = kmeans.centroids
    return centroids


def nearest(points: Float32Array, centroids: Float32Array) -> tuple[Float32Array, Int64Array]:
    """Return squared distance, float32 (n,), and number, int64 (n,), of each point's nearest centroid."""
    distances, numbers = _faiss().knn(np.ascontiguousarray(points), np.ascontiguousarray(centroids), 1)
    return np.maximum(distances[:, 0], 0), numbers[:, 0]


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
