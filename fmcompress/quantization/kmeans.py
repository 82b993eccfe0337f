"""Weighted k-means: the only door to faiss."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.errors import DependencyError

Points = npt.NDArray[np.float32]


def train_centroids(
    points: Points,
    weights: npt.NDArray[np.float32],
    k: int,
    *,
    seed: int,
    iterations: int,
    start: Points | None = None,
) -> Points:
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
        points.shape[1],
        k,
        niter=iterations,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(points),
    )
    kmeans.train(np.ascontiguousarray(points), weights=weights, init_centroids=np.ascontiguousarray(first))
    centroids: Points = kmeans.centroids
    return centroids


def nearest(points: Points, centroids: Points) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return squared distance, float32 (n,), and number, int64 (n,), of each point's nearest centroid."""
    distances, numbers = _faiss().knn(np.ascontiguousarray(points), np.ascontiguousarray(centroids), 1)
    return np.maximum(distances[:, 0], 0), numbers[:, 0]


def use_one_thread() -> None:
    """Keep faiss, where it is called from this thread, to this thread."""
    _faiss().omp_set_num_threads(1)


def version() -> str:
    """Return the version of faiss."""
    return str(_faiss().__version__)


def _draw(points: Points, weights: npt.NDArray[np.float32], count: int, seed: int) -> Points:
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
            "faiss is not installed",
            hint="pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)",
        ) from error
    return faiss
