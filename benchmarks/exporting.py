"""An ONNX file in onnxruntime, against the artifact itself, and against an FM as one ``embedding_bag``; one thread."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import onnxruntime
import torch
from torch.nn.functional import embedding_bag

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio
from fmcompress.export.onnx_file import onnx_model

_BATCHES = {2048: 10, 1: 200}
_ROUNDS = 9


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, microseconds per row, times the time of the artifact."""
    torch.set_num_threads(1)
    model = criteo.lightfm()
    works = {"artifact, `predict`": model.predict, "ONNX file": _exported(model), "FM as one embedding_bag": _bag()}
    rows: list[tuple[str, ...]] = []
    for size, count in _BATCHES.items():
        batches = [criteo.ids(size, seed=seed).astype(np.int64) for seed in range(count)]
        times = interleaved([_over(batches, score) for score in works.values()], _ROUNDS)
        for name, found in zip(works, times, strict=True):
            each = statistics.median(found) / count / size * 1e6
            shown = f"{name}, {'one row' if size == 1 else f'{size} rows'}"
            rows.append((shown, f"{each:.2f} µs a row", f"{ratio(found, times[0]):.2f}"))
    return rows


def _exported(model: criteo.CompressedFM) -> Callable[[np.ndarray], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    data = onnx_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda ids: session.run(["prediction"], {"ids": ids})


def _bag() -> Callable[[np.ndarray], object]:
    checkpoint = criteo.bare_checkpoint()
    vectors, weights = torch.from_numpy(checkpoint.embeddings), torch.from_numpy(checkpoint.linear[:, None])
    joined = torch.cat([vectors, weights - 0.5 * (vectors * vectors).sum(dim=1, keepdim=True)], dim=1)
    offsets = torch.from_numpy(criteo.SCHEMA.offsets)

    def score(ids: np.ndarray) -> torch.Tensor:
        bags = embedding_bag(torch.from_numpy(ids) + offsets, joined, mode="sum")
        return torch.sigmoid(bags[:, -1] + 0.5 * (bags[:, :-1] ** 2).sum(dim=1))

    return score


def _over(batches: list[np.ndarray], score: Callable[[np.ndarray], object]) -> Callable[[], None]:
    return lambda: [score(ids) for ids in batches] and None


if __name__ == "__main__":
    for row in run():
        print(" | ".join(row))
