"""Weighted k-means on a torch device: points and centroids stay there, and the order of all sums is fixed.

faiss's own k-means keeps the points in main memory and sums centroids on the CPU, and sends all points to the GPU in
each iteration. So faiss does one half here, where it is built for GPUs: it finds the nearest centroids. Elsewhere a
matrix product of torch does. The other half is sums over sorted points, for sums by atomic additions, as cuVS has them,
are not the same twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcompress.devices.moving import moved, sums_of_groups
from fmcompress.types import Float32Array, Float64Array, Int64Array

_SCORES = 2**25
"""Numbers in the block of scores of points against centroids that is made at a time."""
_POINT_NUMBERS = 2**25
"""Numbers of points that are on the device at a time where they are only encoded."""
_SHIFT = 1 / 1024
_FAISS_BYTES = 256 * 2**20
_FAISS_LOCK = Lock()  # a GPU's resources in faiss are for one thread at a time


def train_centroids(
    points: Float32Array, weights: Float32Array, first: Float32Array, *, iterations: int, device: str
) -> Float32Array:
    """Return the centroids of weighted k-means, float32 (k, d).

    A centroid that no weight is nearest to takes half of the heaviest cluster, as in faiss.

    Args:
        points: float32 (n, d).
        weights: float32 (n,), not negative.
        first: centroids to start from, float32 (k, d).
        iterations: Lloyd iterations.
        device: a torch device.
    """
    own, shares, centroids = moved(points, device), moved(weights, device)[:, None], moved(first, device)
    weighted = torch.cat([own * shares, shares], dim=1)
    for _ in range(iterations):
        sums = sums_of_groups(weighted, _nearest(own, centroids), len(centroids))
        filled = sums[:, -1:] > 0
        means = sums[:, :-1] / torch.where(filled, sums[:, -1:], 1)
        centroids = _split(torch.where(filled, means, centroids), sums[:, -1])
    found: Float32Array = centroids.cpu().numpy()
    return found


def nearest(points: Float32Array, centroids: Float32Array, *, device: str) -> tuple[Float64Array, Int64Array]:
    """Return squared distance, float64 (n,), and number, int64 (n,), of each point's nearest centroid.

    Args:
        points: float32 (n, d).
        centroids: float32 (k, d).
        device: a torch device.
    """
    distances, numbers = np.empty(len(points)), np.empty(len(points), dtype=np.int64)
    codewords = moved(centroids, device)
    for block in _blocks(len(points), _POINT_NUMBERS // points.shape[1]):
        own = moved(points[block], device)
        chosen = _nearest(own, codewords)
        distances[block] = (own - codewords[chosen]).square().sum(dim=1).cpu().numpy()
        numbers[block] = chosen.cpu().numpy()
    return distances, numbers


def faiss_has_gpu() -> bool:
    """Return whether faiss is built for GPUs, and finds one."""
    try:
        import faiss
    except ImportError:
        return False
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def _nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Return the number of each point's nearest centroid, int64 (n,): of several the first."""
    if points.device.type == "cuda" and faiss_has_gpu():
        return _nearest_by_faiss(points, centroids)
    halves = 0.5 * (centroids * centroids).sum(dim=1)
    found = [
        torch.addmm(halves, points[block], centroids.T, alpha=-1).argmin(dim=1)
        for block in _blocks(len(points), _SCORES // len(centroids))
    ]
    return torch.cat(found)


def _nearest_by_faiss(points: Tensor, centroids: Tensor) -> Tensor:
    import faiss
    import faiss.contrib.torch_utils  # teaches faiss tensors

    with _FAISS_LOCK:
        _, numbers = faiss.knn_gpu(_faiss_resources(), points.contiguous(), centroids.contiguous(), 1)
    found: Tensor = numbers[:, 0]
    return found


@lru_cache(maxsize=1)
def _faiss_resources() -> Any:
    import faiss

    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_FAISS_BYTES)
    return resources


def _split(centroids: Tensor, totals: Tensor) -> Tensor:
    """Return centroids in which empty clusters have taken half of the heaviest ones.

    Args:
        centroids: float32 (k, d).
        totals: weight of each cluster, float32 (k,).
    """
    empty = torch.nonzero(totals <= 0)[:, 0]
    if not len(empty):
        return centroids
    heavy = torch.argsort(totals, descending=True, stable=True)
    heavy = heavy[: min(len(empty), len(totals) - len(empty))]
    empty = empty[: len(heavy)]
    even = torch.arange(centroids.shape[1], device=centroids.device) % 2 == 0
    shift = torch.where(even, 1 + _SHIFT, 1 - _SHIFT)
    halves = centroids[heavy]
    centroids = centroids.clone()
    centroids[empty], centroids[heavy] = halves * shift, halves * (2 - shift)
    return centroids


def _blocks(total: int, step: int) -> Iterator[slice]:
    for first in range(0, total, max(1, step)):
        yield slice(first, min(first + max(1, step), total))
