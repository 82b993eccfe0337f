"""The phases that ``benchmarks.gpu`` measures, each on a device or on the CPU, with the bytes that they move."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import criteo
from fmcompress.api import quantize
from fmcompress.artifact import unpack_model
from fmcompress.backbones.training import TrainOptions, begin_training
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import random_click_model, write_rows, zipf_ids
from fmcompress.data.rows import open_rows
from fmcompress.data.summary import summarize
from fmcompress.devices.working import working_device
from fmcompress.evaluation.predictors import predictor
from fmcompress.finetune.module_scorer import predictor_at_work
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.tuner import begin_tuning
from fmcompress.fm.schema import Schema
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.methods.auto.reassignment import reassign
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.progress import SILENT
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.quantization.sensitivity import Sensitivity, from_batches, from_moments
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.training.trainable import Trainable

Work = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """How much work each phase is given.

    Attributes:
        criteo: whether the model is that of Criteo's shape; else a small one.
        points: of k-means; they have 8 coordinates.
        codewords: of k-means.
        encoded: points that are encoded.
        rows: of a batch of counts, costs and scores.
        priced: held-out rows.
        sampled: rows that codes are assigned anew on, of a smaller model: each category has a matrix of dim² numbers.
        step_rows: rows of a step of tuning and of training.
    """

    criteo: bool
    points: int
    codewords: int
    encoded: int
    rows: int
    priced: int
    sampled: int
    step_rows: int


LARGE = Sizes(True, 131_072, 1024, 1_000_000, 65_536, 10_000, 16_384, 2048)
SMALL = Sizes(False, 2000, 16, 5000, 500, 3000, 500, 200)
_STEPS = 10
_BATCHES = 4
_PRICED = Schema.of([("a", 12_000), ("b", 5000), ("c", 600), ("d", 40)])
_SMALL = Schema.of([("user", 900), ("item", 400), ("city", 12)])


@dataclass(frozen=True)
class Phase:
    """Something to be timed.

    Attributes:
        name: what it is.
        work: from a device to what is done there.
        moved_bytes: what it must move at least, by formula; None where that says little.
    """

    name: str
    work: Callable[[str], Work]
    moved_bytes: float | None = None


@dataclass(frozen=True)
class Model:
    """A factorization machine, the same compressed, and batches for it."""

    checkpoint: FMCheckpoint
    compressed: CompressedFM
    batches: list[Batch]
    small: list[Batch]


def phases(sizes: Sizes) -> Iterator[Phase]:
    """Yield the phases; what they need is made when they are first asked to work.

    Args:
        sizes: how much work they are given.
    """
    points = partial(_points, sizes.points)
    yield Phase("counts, a batch", lambda device: lambda: _count(sizes), 12.0 * sizes.rows * _fields(sizes))
    yield Phase("H_f, a batch", lambda device: lambda: _costs(sizes))
    yield Phase("k-means, 8 iterations", lambda device: lambda: _train(points(), sizes.codewords))
    yield Phase("encoding", lambda device: lambda: nearest(_points(sizes.encoded), points()[: sizes.codewords]))
    yield Phase("held-out prices", lambda device: lambda: _price(_PRICED if sizes.criteo else _SMALL, sizes.priced))
    yield Phase(f"{_STEPS} tuning steps", partial(_tuning, sizes), _STEPS * _tuning_bytes(sizes))
    yield Phase("codes assigned anew", lambda device: lambda: _reassign(sizes))
    scored = sizes.rows * _row_bytes_of_codes(sizes)
    yield Phase("scores from packed codes", lambda device: _scoring(sizes), scored)
    yield Phase("scores of the checkpoint", lambda device: _teaching(sizes), sizes.rows * _row_bytes_of_fm(sizes))
    yield Phase(f"{_STEPS} training steps", partial(_training, sizes))


@cache
def _model(sizes: Sizes) -> Model:
    if sizes.criteo:
        checkpoint, compressed, schema = criteo.checkpoint(), criteo.lightfm(), criteo.SCHEMA
    else:
        clicks, schema = random_click_model(_SMALL, dim=8, seed=0), _SMALL
        counts = np.arange(_SMALL.categories)[::-1] + 1
        checkpoint = FMCheckpoint(_SMALL, clicks.bias, clicks.linear, clicks.embeddings, counts=counts)
        method = LightFM(subspaces=2, codewords=16)
        compressed = quantize(checkpoint, method=method, device="cpu")
    of_size = [[_batch(schema, rows, seed) for seed in range(_BATCHES)] for rows in (sizes.rows, sizes.step_rows)]
    return Model(checkpoint, compressed, *of_size)


def _batch(schema: Schema, rows: int, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(zipf_ids(schema, rows, rng), rng.integers(0, 2, rows).astype(np.float32))


@cache
def _points(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, 8), dtype=np.float32)


def _train(points: np.ndarray, k: int) -> np.ndarray:
    return train_centroids(points, np.ones(len(points), np.float32), k, seed=0, iterations=8)


def _count(sizes: Sizes) -> object:
    model = _model(sizes)
    return summarize(model.checkpoint.schema, model.batches[:1])


def _costs(sizes: Sizes) -> object:
    model = _model(sizes)
    return from_batches(model.checkpoint, [model.batches[0].take(slice(16_384))], model.checkpoint.counts)


@cache
def _priced(schema: Schema, rows: int) -> tuple[FMCheckpoint, Batch]:
    clicks = random_click_model(schema, dim=criteo.DIM if schema is _PRICED else 8, seed=0)
    counts = np.full(schema.categories, 3)
    checkpoint = FMCheckpoint(schema, clicks.bias, clicks.linear, clicks.embeddings, counts=counts)
    return checkpoint, _batch(schema, rows, 0)


def _price(schema: Schema, rows: int) -> object:
    checkpoint, batch = _priced(schema, rows)
    weights = all_weights(checkpoint, from_moments(checkpoint, checkpoint.counts))
    splits = [[np.zeros(own.cardinality, np.uint8)] for own in weights]
    return prepare_held_out(weights, checkpoint, splits, batch, seed=0, progress=SILENT).measured()


def _tuning(sizes: Sizes, device: str) -> Work:
    model = _model(sizes)
    begun = begin_tuning(model.compressed, model.checkpoint, TuneOptions(device=device), steps=10**6)
    return partial(_steps, begun, cycle(model.small))


def _training(sizes: Sizes, device: str) -> Work:
    model = _model(sizes)
    schema = model.checkpoint.schema
    with TemporaryDirectory() as folder:
        write_rows(model.small[0], schema, Path(folder) / "rows.parquet")
        options = TrainOptions(dim=model.checkpoint.dim, batch_size=sizes.step_rows, device=device)
        begun = begin_training(open_rows(Path(folder) / "rows.parquet", schema), options, 1e-5)
    return partial(_steps, begun, cycle(model.small))


def _steps(begun: Trainable, batches: Iterator[Batch]) -> None:
    for _ in range(_STEPS):
        begun.step(next(batches))


def _reassign(sizes: Sizes) -> object:
    schema, codewords = (_PRICED, 256) if sizes.criteo else (_SMALL, 16)
    checkpoint, sample = _priced(schema, sizes.sampled)
    costs, compressed = _coded(schema, sizes.sampled, codewords)
    quantized = unpack_model(compressed)
    return reassign(quantized, sample, sample.labels, teacher=checkpoint, sensitivity=costs, prior=100.0)


@cache
def _coded(schema: Schema, rows: int, codewords: int) -> tuple[Sensitivity, CompressedFM]:
    checkpoint, _ = _priced(schema, rows)
    compressed = quantize(checkpoint, method=LightFM(subspaces=2, codewords=codewords), device="cpu")
    return from_moments(checkpoint, checkpoint.counts), compressed


def _scoring(sizes: Sizes) -> Work:
    model = _model(sizes)
    scorer = predictor(model.compressed) if working_device() is None else predictor_at_work(model.compressed)
    return lambda: scorer.predict(model.batches[0].ids)


def _teaching(sizes: Sizes) -> Work:
    model = _model(sizes)
    scorer = predictor(model.checkpoint)
    return lambda: scorer.predict(model.batches[0].ids)


def _fields(sizes: Sizes) -> int:
    return len((criteo.SCHEMA if sizes.criteo else _SMALL).id_names)


def _row_bytes_of_fm(sizes: Sizes) -> float:
    """Return the bytes of a row in fp32: its ids, its embeddings, and a number beside each."""
    return _fields(sizes) * (8 + 4 * (criteo.DIM if sizes.criteo else 8) + 4)


def _row_bytes_of_codes(sizes: Sizes) -> float:
    """Return the bytes of a row: its ids, the rows that codes stand for, the codewords with a norm, linear weights."""
    subspaces, width = (4, criteo.DIM // 4) if sizes.criteo else (2, 4)
    return _fields(sizes) * (8 + subspaces * (4 + 4 * (width + 1)) + 8)


def _tuning_bytes(sizes: Sizes) -> float:
    """Return the bytes of a step: rows forwards and backwards, the teacher's rows, and Adam over all numbers."""
    numbers = _model(sizes).compressed.values.size
    of_rows = 2 * _row_bytes_of_codes(sizes) + _row_bytes_of_fm(sizes)
    return sizes.step_rows * of_rows + 7 * 4 * numbers
