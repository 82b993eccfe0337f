"""Scoring from packed codes, against an FM that looks embeddings up, and against an FM as one ``embedding_bag``."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import embedding, embedding_bag

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio

_BATCH_ROWS = 2048
_BATCHES = 20
_ROUNDS = 9


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, microseconds per row, times the time of packed codes."""
    torch.set_num_threads(1)
    checkpoint = criteo.checkpoint()
    vectors, weights = torch.from_numpy(checkpoint.embeddings), torch.from_numpy(checkpoint.linear[:, None])
    offsets = torch.from_numpy(criteo.SCHEMA.offsets)
    joined = torch.cat([vectors, weights - 0.5 * (vectors * vectors).sum(dim=1, keepdim=True)], dim=1)

    def eager(ids: np.ndarray) -> torch.Tensor:
        rows = torch.from_numpy(ids) + offsets
        found = embedding(rows, vectors)
        sums = found.sum(dim=1)
        pairs = (sums * sums).sum(dim=1) - (found * found).sum(dim=(1, 2))
        return torch.sigmoid(embedding(rows, weights).sum(dim=(1, 2)) + 0.5 * pairs)

    def one_bag(ids: np.ndarray) -> torch.Tensor:
        bags = embedding_bag(torch.from_numpy(ids) + offsets, joined, mode="sum")
        return torch.sigmoid(bags[:, -1] + 0.5 * (bags[:, :-1] ** 2).sum(dim=1))

    packed = criteo.lightfm().predict
    batches = [criteo.ids(_BATCH_ROWS, seed=seed) for seed in range(_BATCHES)]

    def over_batches(score: Callable[[np.ndarray], object]) -> Callable[[], None]:
        return lambda: [score(ids) for ids in batches] and None

    times = interleaved([over_batches(score) for score in (packed, eager, one_bag)], _ROUNDS)
    names = ("packed codes, 4 x 1024", "eager FM, embedding look-ups", "FM as one embedding_bag")
    return [
        (
            name,
            f"{statistics.median(found) / _BATCHES / _BATCH_ROWS * 1e6:.2f} µs a row",
            f"{ratio(found, times[0]):.2f}",
        )
        for name, found in zip(names, times, strict=True)
    ]
