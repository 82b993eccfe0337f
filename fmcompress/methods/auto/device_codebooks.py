"""Nested codebooks of all subspaces of a tier at once, on a torch device: what ``lloyd`` does for one at a time.

Problems of some thousand points take a GPU longer to begin than to do; side by side, subspaces are one large problem.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from fmcompress.devices.moving import moved, sums_of_groups
from fmcompress.quantization.kmeans import power_of, times
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt16Array

_SCORES = 2**25
"""Numbers in the scores of points against centroids that are made at a time."""

Made = tuple[Float32Array, Int64Array, UInt16Array, Float64Array]
"""Centroids, float32 (k, d); the nearest one of each trained point, int64 (n,), and of each member, uint16 (m,); and
the squared distances of the former, float64 (n,)."""


def nested_on_device(
    train: Sequence[Float32Array],
    members: Sequence[Float32Array],
    weights: Float32Array,
    drawn: Int64Array,
    sizes: Sequence[int],
    *,
    iterations: int,
    device: str,
) -> list[list[Made]]:
    """Return codebooks of each size for each subspace, each started from those before.

    Args:
        train: points of the sample in each subspace, float32 (n, d).
        members: points of the categories in the rows in each subspace, float32 (m, d).
        weights: of the sample, float32 (n,).
        drawn: places in the sample of centroids to start from, int64 (n,).
        sizes: rising, from 1 on.
        iterations: of Lloyd, for each size.
        device: a torch device.
    """
    powers, widths = list(map(power_of, train)), [points.shape[1] for points in train]
    centres = [times(points, power).mean(axis=0, dtype=np.float64) for points, power in zip(train, powers, strict=True)]
    own, others = (_joined(points, powers, centres, device) for points in (train, members))
    shares, order = moved(weights, device), moved(drawn, device)
    weighted = torch.cat([own * shares[:, None], shares.expand(len(own), -1)[:, :, None]], dim=2)
    centroids = weighted[:, :, :-1].sum(dim=1, keepdim=True) / shares.sum()
    found: list[list[Made]] = [[] for _ in train]
    for size in sizes:
        if size > 1:
            more = own[:, order[centroids.shape[1] - 1 : size - 1]]
            centroids = torch.cat([centroids, more], dim=1)
            for _ in range(iterations):
                centroids = _iterated(weighted, own, centroids)
        codes, of_members = _nearest(own, centroids), _nearest(others, centroids)
        shift = (own - torch.gather(centroids, 1, codes[:, :, None].expand_as(own))).double()
        arrays = (part.cpu().numpy() for part in (centroids, codes, of_members, shift.square().sum(dim=2)))
        for space, (table, of_train, of_rows, squares) in enumerate(zip(*arrays, strict=True)):
            plain = (table[:, : widths[space]] + centres[space]).astype(np.float32)
            undone = times(plain, -powers[space]), np.ldexp(squares, -2 * powers[space])
            found[space].append((undone[0], of_train, of_rows.astype(np.uint16), undone[1]))
    return found


def _joined(
    points: Sequence[Float32Array], powers: Sequence[int], centres: Sequence[Float64Array], device: str
) -> Tensor:
    """Return the points of all subspaces, less their centres, filled up with zeros, float32 (spaces, n, width)."""
    width = max(part.shape[1] for part in points)
    ready = [
        moved((times(part, power) - centre).astype(np.float32), device)
        for part, power, centre in zip(points, powers, centres, strict=True)
    ]
    return torch.stack([pad(part, (0, width - part.shape[1])) for part in ready])


def _iterated(weighted: Tensor, points: Tensor, centroids: Tensor) -> Tensor:
    """Return centroids after an iteration, float32 (spaces, k, width); those without points stay where they are.

    Args:
        weighted: points times their weights, and behind them the weights, float32 (spaces, n, width + 1).
        points: float32 (spaces, n, width).
        centroids: float32 (spaces, k, width).
    """
    spaces, k, width = centroids.shape
    first = k * torch.arange(spaces, device=points.device)[:, None]
    groups = (_nearest(points, centroids) + first).flatten()
    sums = sums_of_groups(weighted.flatten(0, 1), groups, spaces * k).view(spaces, k, width + 1)
    filled = sums[:, :, -1:] > 0
    return torch.where(filled, sums[:, :, :-1] / torch.where(filled, sums[:, :, -1:], 1), centroids)


def _nearest(points: Tensor, centroids: Tensor) -> Tensor:
    """Return the number of each point's nearest centroid, int64 (spaces, n)."""
    halves = 0.5 * (centroids * centroids).sum(dim=2)[:, None]
    step = max(1, _SCORES // max(1, points.shape[1] * centroids.shape[1]))
    found = [
        torch.baddbmm(halves[some], points[some], centroids[some].transpose(1, 2), alpha=-1).argmin(dim=2)
        for some in (slice(first, first + step) for first in range(0, len(points), step))
    ]
    return torch.cat(found)
