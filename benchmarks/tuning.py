"""Tuning steps with fixed and with moving codes, against a training step of the vanilla FM; and their memory."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch.nn.functional import one_hot

from benchmarks import criteo
from benchmarks.timing import interleaved, memory_row, peak_bytes, peak_of, ratio
from fmcompress.backbones.training import TrainOptions, begin_training
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import open_rows
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.tuner import begin_tuning
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.code_updates import code_update
from fmcompress.training.trainable import Trainable

_BATCH_ROWS = 2048
_STEPS = 10
_ROUNDS = 7
_LITERAL_ROWS = 64  # of a batch: the literal softmax takes time and memory in proportion to them


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds per step, times the FM's."""
    torch.set_num_threads(2)
    batches = [_batch(seed) for seed in range(_STEPS)]
    model, checkpoint = criteo.lightfm(), criteo.checkpoint()
    moving = TuneOptions(moving=MovingOptions())
    codes = code_update(moving, checkpoint, Tiers.none(checkpoint.schema), counts=checkpoint.counts)
    runs = {
        "FM, training step": _fm(batches[0]),
        "4 x 1024 codewords, codes fixed": begin_tuning(model, checkpoint, TuneOptions(), steps=10**6),
        "the same without distillation": begin_tuning(model, checkpoint, TuneOptions(distillation=0.0), steps=10**6),
        "4 x 1024 codewords, codes moving": begin_tuning(model, checkpoint, moving, codes, steps=10**6),
    }
    times = interleaved([_steps(training, batches) for training in runs.values()], _ROUNDS)
    found = [
        (name, f"{statistics.median(seconds) / _STEPS * 1e3:.1f} ms a step", f"{ratio(seconds, times[0]):.2f}")
        for name, seconds in zip(runs, times, strict=True)
    ]
    fields = [column for column, size in enumerate(criteo.CARDINALITIES) if size > 1024]
    literal = _seconds_of(lambda: _literal_softmax(batches[0].ids[:_LITERAL_ROWS, fields]))
    literal *= _BATCH_ROWS / _LITERAL_ROWS
    fm = statistics.median(times[0]) / _STEPS
    name = f"softmax over all codewords for every row, by autograd (from {_LITERAL_ROWS} rows)"
    return [*found, (name, f"{literal * 1e3:.0f} ms a step", f"{literal / fm:.1f}")]


def memory() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB, times the FM with Adam's state; each in a process of its own."""
    state = 3 * 4 * criteo.SCHEMA.categories * (criteo.DIM + 1)
    return [
        memory_row("fp32 FM with Adam's two moments", state, state),
        *(
            memory_row(f"tuning, codes {kind}, with the checkpoint and the start", peak_of("tuning", kind), state)
            for kind in ("fixed", "moving")
        ),
    ]


def _fm(batch: Batch) -> Trainable[FMCheckpoint]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        write_rows(batch, criteo.SCHEMA, path)
        return begin_training(open_rows(path, criteo.SCHEMA), TrainOptions(batch_size=_BATCH_ROWS), 1e-5)


def _literal_softmax(ids: np.ndarray) -> None:
    """Run equations 6 to 8 as they stand, forward and backward: similarities of every row to all 1024 codewords."""
    rows, fields = ids.shape
    latents = torch.randn(rows, fields, 4, 8, requires_grad=True)
    codebooks = torch.randn(fields, 4, 1024, 8, requires_grad=True)
    similarities = -((latents[:, :, :, None] - codebooks) ** 2).sum(dim=4)
    soft = torch.softmax(similarities, dim=3)
    hard = one_hot(similarities.argmax(dim=3), 1024).to(soft.dtype)
    choice = soft + (hard - soft).detach()
    torch.einsum("rfdk,fdks->rfds", choice, codebooks).square().sum().backward()


def _seconds_of(work: Callable[[], None]) -> float:
    return statistics.median(interleaved([work], 3)[0])


def _batch(seed: int) -> Batch:
    labels = np.random.default_rng(seed).integers(0, 2, _BATCH_ROWS).astype(np.float32)
    return Batch(criteo.ids(_BATCH_ROWS, seed=seed), labels)


def _steps(training: Trainable, batches: list[Batch]) -> Callable[[], None]:
    source = cycle(batches)

    def work() -> None:
        for _ in range(_STEPS):
            training.step(next(source))

    return work


def _measure_memory(kind: str) -> int:
    model, checkpoint = criteo.lightfm(), criteo.bare_checkpoint()
    before = peak_bytes(anew=True)
    held = model.values.nbytes + model.codes.nbytes + checkpoint.embeddings.nbytes + checkpoint.linear.nbytes
    counts = np.ones(criteo.SCHEMA.categories, dtype=np.int64)
    options = TuneOptions(moving=MovingOptions() if kind == "moving" else None)
    codes = code_update(options, checkpoint, Tiers.none(checkpoint.schema), counts=counts)
    training = begin_tuning(model, checkpoint, options, codes, steps=10**6)
    for seed in range(3):
        training.step(_batch(seed))
    training.kept()
    return peak_bytes() - before + held


if __name__ == "__main__":
    print(_measure_memory(sys.argv[1]))
