"""Weighted k-means: the only door to faiss, and to what does its work on another device.

faiss computes squared distances in fp32. Where they would overflow, or vanish, points are multiplied by a power of two.
On a device, see ``devices``, torch does the work of all but small problems, with faiss where it is built for GPUs.
"""

from typing import Any

import numpy as np

from fmcompress.devices.working import working_device
from fmcompress.errors import DependencyError
from fmcompress.quantization.lloyd import cloud_of, nearest_of_many
from fmcompress.types import Float32Array, Float64Array, Int64Array

_SMALL, _LARGE = 1e-12, 1e12
_SOME_DISTANCES, _FAST_NUMBERS = 2**22, 2**17
"""Distances from which, and numbers of points to which, faiss takes ten times longer than products of matrices."""
_LEAST_PRODUCTS = 2**24
"""Products of numbers in an iteration below which a problem is solved on the CPU: faiss takes some milliseconds."""


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
    power = power_of(points)
    if power:
        points, start = times(points, power), None if start is None else times(start, power)
    first = _draw(points, weights, k - (0 if start is None else len(start)), seed)
    if start is not None:
        first = np.concatenate([start, first])
    points, first = np.ascontiguousarray(points), np.ascontiguousarray(first)
    device, centroids = _device_for(points, k), first
    if device is None and _by_products(points, k):
        centroids = cloud_of(points, weights).trained(first, iterations)
    elif device is None:
        n, d = points.shape
        kmeans = faiss.Kmeans(d, k, niter=iterations, seed=seed, min_points_per_centroid=1, max_points_per_centroid=n)
        kmeans.train(points, weights=weights, init_centroids=first)
        centroids = kmeans.centroids
    else:
        from fmcompress.quantization import device_kmeans

        centroids = device_kmeans.train_centroids(points, weights, first, iterations=iterations, device=device)
    return times(centroids, -power) if power else centroids


def nearest(points: Float32Array, centroids: Float32Array) -> tuple[Float64Array, Int64Array]:
    """Return squared distance, float64 (n,), and number, int64 (n,), of each point's nearest centroid."""
    power = power_of(points)
    if power:
        points, centroids = times(points, power), times(centroids, power)
    points, centroids = np.ascontiguousarray(points), np.ascontiguousarray(centroids)
    device = _device_for(points, len(centroids))
    if device is not None:
        from fmcompress.quantization import device_kmeans

        squares, own = device_kmeans.nearest(points, centroids, device=device)
        return np.ldexp(squares, -2 * power), own
    if _by_products(points, len(centroids)):
        squares, own = nearest_of_many(points, centroids)
        return np.ldexp(squares, -2 * power), own
    distances, numbers = _faiss().knn(points, centroids, 1)
    return np.ldexp(np.maximum(distances[:, 0], 0).astype(np.float64), -2 * power), numbers[:, 0]


def lacks_gpu() -> str | None:
    """Return what to say where work is done on a GPU that faiss cannot use; None where all is well."""
    device = working_device()
    if device is None or not device.startswith("cuda"):
        return None
    from fmcompress.quantization import device_kmeans

    if device_kmeans.faiss_has_gpu():
        return None
    return "faiss is not built for GPUs, so torch does k-means there: pip install 'fmcompress[gpu]' brings one that is"


def _device_for(points: Float32Array, k: int) -> str | None:
    """Return the device that finds the nearest of k centroids; None where that is the CPU."""
    return working_device() if points.size * k >= _LEAST_PRODUCTS else None


def _by_products(points: Float32Array, k: int) -> bool:
    """Return whether products of matrices, see ``lloyd``, find the nearest of k centroids much faster than faiss."""
    return len(points) * k >= _SOME_DISTANCES and (points.shape[1] == 1 or points.size < _FAST_NUMBERS)


def power_of(points: Float32Array) -> int:
    """Return the power of two that brings points, float32 (n, d), near 1; 0 where they are of usual size."""
    largest = max(float(points.max(initial=0)), -float(points.min(initial=0)))
    if largest == 0 or _SMALL < largest < _LARGE:
        return 0
    return 1 - int(np.frexp(largest)[1])


def times(points: Float32Array, power: int) -> Float32Array:
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


def drawn_by_weight(weights: Float32Array, seed: int) -> Int64Array:
    """Return all places in the order of a draw without replacement, in proportion to weights, int64 (n,).

    Args:
        weights: float32 (n,), not negative.
        seed: of the draw.
    """
    return np.argsort(-_keys(weights, seed), kind="stable")


def _draw(points: Float32Array, weights: Float32Array, count: int, seed: int) -> Float32Array:
    """Draw distinct points without replacement, in proportion to their weights."""
    if count == 0:
        return points[:0]
    return points[np.argpartition(_keys(weights, seed), -count)[-count:]]


def _keys(weights: Float32Array, seed: int) -> Float64Array:
    """Return keys of which the largest are drawn, float64 (n,) (Efraimidis and Spirakis)."""
    drawn = np.random.default_rng(seed).random(len(weights))
    return np.asarray(np.log(drawn) / np.maximum(weights, np.finfo(np.float32).tiny))


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise DependencyError(
            "faiss is not installed", hint="pip install 'fmcompress[cpu]' (or 'fmcompress[gpu]' for faiss on CUDA)"
        ) from error
    return faiss
