"""A tuning step with fixed codes, against a training step of the vanilla FM."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio
from fmcompress.data import Batch, ParquetRows
from fmcompress.data.generate import write_rows
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.trainer import TuneRun
from fmcompress.fm.trainer import TrainOptions, TrainRun
from fmcompress.training import Run

_BATCH_ROWS = 2048
_STEPS = 10
_ROUNDS = 7


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds per step, times the FM's."""
    torch.set_num_threads(2)
    batches = [_batch(seed) for seed in range(_STEPS)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(batches[0], criteo.SCHEMA, path)
        fm = TrainRun(ParquetRows(path, criteo.SCHEMA), TrainOptions(batch_size=_BATCH_ROWS), 1e-5)
    model, checkpoint = criteo.lightfm(), criteo.checkpoint()
    runs = {
        "FM, training step": fm,
        "4 x 1024 codewords, tuning step": TuneRun(model, checkpoint, TuneOptions()),
        "the same without distillation": TuneRun(model, checkpoint, TuneOptions(distillation=0.0)),
    }
    times = interleaved([_steps(training, batches) for training in runs.values()], _ROUNDS)
    return [
        (name, f"{statistics.median(found) / _STEPS * 1e3:.1f} ms a step", f"{ratio(found, times[0]):.2f}")
        for name, found in zip(runs, times, strict=True)
    ]


def _batch(seed: int) -> Batch:
    labels = np.random.default_rng(seed).integers(0, 2, _BATCH_ROWS).astype(np.float32)
    return Batch(criteo.ids(_BATCH_ROWS, seed=seed), labels)


def _steps(training: Run, batches: list[Batch]) -> Callable[[], None]:
    source = cycle(batches)

    def work() -> None:
        for _ in range(_STEPS):
            training.step(next(source))

    return work
