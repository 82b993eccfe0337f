"""Peak memory against the number of rows: counts, pricing, tuning and scoring, of 10^6 to 10^8 rows.

Rows are made as they are read; what the command `score` reads is a folder of links to one file. Each figure is the peak
of a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.timing import peak_bytes, peak_of
from fmcompress import pipeline
from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.click_model import random_click_model, write_rows
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import Rows, TuningData
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.serve.compressed_fm import CompressedFM

_SCHEMA = Schema.of((f"field_{number}", 10_000) for number in range(8))
_DIM = 16
_BUDGET = "400KB"
_VALID_ROWS = 100_000
_CHUNK_ROWS = 2**17
_FILE_ROWS = 10**6
_ROWS = (10**6, 10**7, 10**8)
_PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, capture_output=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)
_PHASES = ("counts", "pricing", "tuning", "evaluate", "score")


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB for each number of rows, times that of the fewest."""
    found = []
    for phase in _PHASES:
        peaks = [peak_of("rows_memory", phase, str(rows)) for rows in _ROWS]
        ratios = [f"{peak / peaks[0]:.2f}" for peak in peaks[1:]]
        found.append((phase, *(f"{peak / 2**20:.0f} MiB" for peak in peaks), *ratios))
    return found


@dataclass
class GeneratedRows:
    """Reads rows that are drawn when they are asked for; see ``data.rows.Reader``."""

    rows: int
    seed: int
    files: list[str] = field(default_factory=list)
    skipped: int = 0
    kept: None = None

    @property
    def starts(self) -> list[int]:
        """The first row of each chunk."""
        return list(range(0, self.rows, _CHUNK_ROWS))

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a chunk: few categories are frequent, and decide the label."""
        rng = np.random.default_rng((self.seed, chunk))
        rows = min(_CHUNK_ROWS, self.rows - chunk * _CHUNK_ROWS)
        drawn = rng.random((rows, len(_SCHEMA)), dtype=np.float32)
        ids = (drawn**3 * np.float32(10_000)).astype(np.int32)
        labels = rng.random(rows, dtype=np.float32) < 0.2 + 0.3 * (ids[:, 0] % 3 == 0)
        yield Batch(ids, labels.astype(np.float32))


def _rows(count: int, *, seed: int = 0) -> Rows:
    return Rows(_SCHEMA, count, GeneratedRows(count, seed), "all", range(count))


def _checkpoint() -> FMCheckpoint:
    model = random_click_model(_SCHEMA, dim=_DIM, seed=0)
    return FMCheckpoint(_SCHEMA, model.bias, model.linear, model.embeddings)


def _data(rows: int) -> TuningData:
    return TuningData(_rows(rows), _rows(_VALID_ROWS, seed=1), DataOptions())


def _small_artifact() -> CompressedFM:
    return pipeline.quantize(pipeline.open_job(_checkpoint(), _BUDGET))


def _counts(rows: int) -> None:
    """Count categories, labels and what is doubtful."""
    assert _rows(rows).summary.counts.sum() == rows * len(_SCHEMA)


def _pricing(rows: int) -> None:
    """Plan with counts, sensitivities and held-out prices of the rows."""
    job = pipeline.open_job(_checkpoint(), _BUDGET, data=_data(rows))
    pipeline.make_plan(job, pipeline.measure(job))


def _tuning(rows: int) -> None:
    """Plan, and tune for one epoch."""
    tuning = TuneOptions(epochs=1, batch_size=16_384)
    pipeline.quantize(pipeline.open_job(_checkpoint(), _BUDGET, data=_data(rows), tuning=tuning))


def _evaluate(rows: int) -> None:
    """Score the rows with an artifact, and tell AUC and LogLoss."""
    assert score_rows(_small_artifact(), _rows(rows)).rows == rows


def _score(rows: int) -> int:
    """Return the peak of the command ``score`` on a folder of files with as many rows together."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        data, one, model = folder / "data", folder / "one.parquet", folder / "a.safetensors"
        data.mkdir()
        _small_artifact().save(model)
        write_rows(concatenate(list(_rows(_FILE_ROWS).batches())), _SCHEMA, one)
        for number in range(rows // _FILE_ROWS):
            os.link(one, data / f"{number:04}.parquet")
        fmcompress = str(Path(sys.executable).with_name("fmcompress"))
        command = [fmcompress, "--quiet", "score", str(model), str(data), "-o", str(folder / "scores.parquet")]
        # Started by a small process: a child's peak begins with what its parent has.
        small = [sys.executable, "-c", _PEAK, *command]
        return 1024 * int(subprocess.run(small, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        for row in run():
            print(*row, sep=" | ")
        sys.exit()
    phase, rows = sys.argv[1], int(sys.argv[2])
    if phase == "score":
        print(_score(rows))
    else:
        globals()[f"_{phase}"](rows)
        print(peak_bytes())
