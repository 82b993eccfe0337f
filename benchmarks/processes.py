"""A tuning epoch in two processes, one core each, against one process that is held to one core."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks import criteo
from benchmarks.timing import ratio
from fmcompress.data.rows import Rows, open_rows
from fmcompress.evaluation.scores import Scores
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.tuner import tune
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.code_updates import code_update
from fmcompress.processes.joining import joined
from fmcompress.progress import Progress

_ROWS = 200 * 2048
_VALID_ROWS = 20_000
_GROUP_ROWS = 8192
_ROUNDS = 3
_KINDS = (("fixed", 2048), ("fixed", 8192), ("fixed", 32_768), ("moving", 2048))


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, rows a second, times one process."""
    found = []
    with TemporaryDirectory() as folder:
        _write(Path(folder))
        for kind, batch_rows in _KINDS:
            rates: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(_ROUNDS):
                for processes, own in rates.items():
                    own.append(_rate(processes, kind, batch_rows, folder))
            for processes, own in rates.items():
                what = "one process on one core" if processes == 1 else f"{processes} processes, one core each"
                found.append(
                    (
                        f"{what}, codes {kind}, batch {batch_rows}",
                        f"{statistics.median(own):,.0f}",
                        f"{ratio(own, rates[1]):.2f}",
                    )
                )
    return found


def _write(folder: Path) -> None:
    for seed, (part, rows) in enumerate({"train": _ROWS, "valid": _VALID_ROWS}.items()):
        labels = np.random.default_rng(seed).integers(0, 2, rows).astype(np.int8)
        columns = dict(zip(criteo.SCHEMA.names, criteo.ids(rows, seed=seed).T, strict=True))
        table = pa.table({"label": labels, **columns})
        pq.write_table(table, folder / f"{part}.parquet", row_group_size=_GROUP_ROWS)


def _rate(processes: int, kind: str, batch_rows: int, folder: str) -> float:
    """Return the rows a second of so many processes."""
    start = [] if processes == 1 else ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    command = [sys.executable, *start, "-m", "benchmarks.processes", kind, str(batch_rows), folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


class _Epochs(Progress):
    """When each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def note(self, message: str) -> None:
        """Receive the end of an epoch."""
        self.ends.append(time.perf_counter())


def _measure(kind: str, batch_rows: int, folder: Path) -> float:
    """Return the rows a second of an epoch, validation and all, after one that does not count."""
    rows, valid = (open_rows(folder / f"{part}.parquet", criteo.SCHEMA) for part in ("train", "valid"))
    model, checkpoint = criteo.lightfm(), criteo.bare_checkpoint()
    options = TuneOptions(moving=MovingOptions() if kind == "moving" else None, epochs=2, batch_size=batch_rows)
    counts = rows.summary.counts
    codes = code_update(options, checkpoint, Tiers.none(checkpoint.schema), counts=counts)
    epochs, unknown = _Epochs(), Scores(_VALID_ROWS, 0.0, 9.0, 1.0)
    tune(model, rows, valid, teacher=checkpoint, start=unknown, options=options, codes=codes, progress=epochs)
    return _rows_a_second(rows, epochs)


def _rows_a_second(rows: Rows, epochs: _Epochs) -> float:
    return rows.rows / (epochs.ends[1] - epochs.ends[0])


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined() as world:
        if world.alone and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {0})
        rate = _measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
        if world.first:
            print(rate, flush=True)
    if not world.alone:
        os._exit(0)  # threads that torch has left may abort an end that waits for them
