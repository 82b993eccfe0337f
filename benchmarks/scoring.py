"""Scoring from packed codes, against an FM that looks embeddings up, and against an FM as one ``embedding_bag``."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.functional import embedding, embedding_bag

import fmcompress as fc
from benchmarks import criteo
from benchmarks.timing import interleaved, ratio
from fmcompress.fm.pooling import Pooling
from fmcompress.serve.numpy_scorer import NumpyScorer

_ROUNDS = 9
_RATIO = 20
_SEVERAL, _MEAN = "field_15", Pooling("mean", "mean")

Score = Callable[[np.ndarray], object]


def run() -> list[tuple[str, ...]]:
    """Return rows of the table for batches of 2048: what, microseconds a row, times one ``embedding_bag``."""
    works, packed = _works()
    works |= {
        "4 x 1024, ids in int64": lambda ids: packed.predict(ids.astype(np.int64)),
        "4 x 1024, two threads": partial(packed.predict, threads=2),
    }
    return _table(works, [criteo.ids(2048, seed=seed) for seed in range(20)])


def one_row() -> list[tuple[str, ...]]:
    """Return rows of the table for one row at a time: what, microseconds, times one ``embedding_bag``."""
    works, _ = _works()
    ids = criteo.ids(1000, seed=0)
    return _table(works, [ids[row : row + 1].copy() for row in range(len(ids))])


def large() -> list[tuple[str, ...]]:
    """Return rows of the table for a million rows: what, microseconds a row, times one thread."""
    packed = criteo.lightfm()
    works: dict[str, Score] = {
        f"{threads} thread{'s' if threads > 1 else ''}": partial(packed.predict, threads=threads) for threads in (1, 2)
    }
    return _table(works, [criteo.ids(1_000_000, seed=0)])


def several_values() -> list[tuple[str, ...]]:
    """Return rows of the table for a field with 1 to 9 values: what, microseconds a row, times the eager FM."""
    packed = _with_pooling(criteo.lightfm(), _SEVERAL)
    batches = [criteo.with_several_values(2048, _SEVERAL, seed=seed) for seed in range(20)]
    numpy = NumpyScorer(packed)
    works: dict[str, Callable[[Any], object]] = {
        "eager FM, look-ups and an embedding_bag": _eager_with_bag(_SEVERAL),
        "4 x 1024, a field with 5 values in a row": lambda rows: packed.predict(rows.ids, bags={_SEVERAL: rows.bag}),
        "4 x 1024, the same field with one": lambda rows: packed.predict(rows.single),
        "numpy without the native core, 5 values": lambda rows: numpy.predict(rows.ids, bags={_SEVERAL: rows.bag}),
    }
    return _table(works, batches)


def _with_pooling(model: fc.CompressedFM, name: str) -> fc.CompressedFM:
    schema = model.schema
    fields = tuple(replace(field, pooling=_MEAN) if field.name == name else field for field in schema.fields)
    frame = replace(model.header.frame, schema=replace(schema, fields=fields))
    return replace(model, header=replace(model.header, frame=frame))


def _eager_with_bag(name: str) -> Callable[[criteo.RowsWithBag], torch.Tensor]:
    """Return the FM in fp32, whose field with several values is their mean; one thread."""
    torch.set_num_threads(1)
    checkpoint, column = criteo.checkpoint(), criteo.SCHEMA.names.index(name)
    vectors, weights = torch.from_numpy(checkpoint.embeddings), torch.from_numpy(checkpoint.linear[:, None])
    others = [place for place in range(len(criteo.SCHEMA)) if place != column]
    offsets = torch.from_numpy(criteo.SCHEMA.offsets)

    def score(rows: criteo.RowsWithBag) -> torch.Tensor:
        places = torch.from_numpy(rows.ids[:, others]) + offsets[others]
        values, starts = torch.from_numpy(rows.bag.ids) + offsets[column], torch.from_numpy(rows.bag.starts[:-1])
        found, pooled = embedding(places, vectors), embedding_bag(values, vectors, starts, mode="mean")
        sums = found.sum(dim=1) + pooled
        pairs = (sums * sums).sum(dim=1) - (found * found).sum(dim=(1, 2)) - (pooled * pooled).sum(dim=1)
        linear = embedding(places, weights).sum(dim=(1, 2)) + embedding_bag(values, weights, starts, mode="mean")[:, 0]
        return torch.sigmoid(linear + 0.5 * pairs)

    return score


def auto_artifact() -> fc.CompressedFM:
    """Return an artifact as ``quantize`` makes it, at a twentieth of the checkpoint's bytes, without data."""
    checkpoint = criteo.checkpoint()
    return fc.quantize(checkpoint, 4 * (checkpoint.embeddings.size + checkpoint.linear.size) // _RATIO)


def _works() -> tuple[dict[str, Score], fc.CompressedFM]:
    """Return what is compared, and the artifact of 4 x 1024 codewords."""
    eager, one_bag = _plain()
    packed, auto = criteo.lightfm(), auto_artifact()
    works: dict[str, Score] = {
        "FM as one embedding_bag": one_bag,
        "eager FM, embedding look-ups": eager,
        "4 x 1024": packed.predict,
        f"`auto` at {_RATIO} x": auto.predict,
        "4 x 1024, numpy without the native core": NumpyScorer(packed).predict,
    }
    return works, packed


def _plain() -> tuple[Score, Score]:
    """Return the FM in fp32, by look-ups of embeddings and as one ``embedding_bag``; one thread."""
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

    return eager, one_bag


def _table(works: Mapping[str, Callable[[Any], object]], batches: Sequence[Any]) -> list[tuple[str, ...]]:
    def over_batches(score: Callable[[Any], object]) -> Callable[[], None]:
        return lambda: [score(rows) for rows in batches] and None

    times = interleaved([over_batches(score) for score in works.values()], _ROUNDS)
    rows = sum(map(len, batches))
    return [
        (name, f"{statistics.median(found) / rows * 1e6:.2f} µs a row", f"{ratio(found, times[0]):.2f}")
        for name, found in zip(works, times, strict=True)
    ]


if __name__ == "__main__":
    for row in [*run(), *one_row(), *several_values(), *large()]:
        print(*row, sep=" | ")
