"""The phases of ``quantize`` with data: the seconds of each, and how many cores it keeps busy.

Without arguments on generated rows of Criteo's shape, and on MovieLens-1M and Gowalla where ``../shared/data`` has
them; ``python -m benchmarks.planning fm.pt FOLDER RATIO`` does it for a checkpoint and a folder with ``train.parquet``
and ``valid.parquet``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import criteo
from fmcompress import pipeline
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.checkpoints import FMCheckpoint, load_checkpoint
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData, open_training_rows, open_tuning_data
from fmcompress.finetune.options import ReassignOptions, TuneOptions
from fmcompress.progress import Progress

_SHARED = Path(__file__).parent.parent.parent / "shared" / "data"
_RATIO = 20.0
_ROWS, _VALID_ROWS = 400_000, 100_000
_LOOPS = {
    "pricing quantizers": "codebooks that candidates are priced by",
    "pricing on held-out rows": "losses of held-out rows",
    "making codebooks": "final codebooks",
    "assigning codes": "final codes",
}
_EPOCH = "an epoch of tuning"


class Phases(Progress):
    """Wall and CPU seconds of phases; those within another one do not count for it.

    Attributes:
        seconds: wall and CPU of each phase.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.seconds: dict[str, list[float]] = {}
        self._open: list[tuple[str, float, float]] = []

    def start(self, what: str, total: int) -> None:
        """Begin a phase: a loop of the library's."""
        name = next((name for loop, name in _LOOPS.items() if what.startswith(loop)), _EPOCH)
        self._open.append((name, time.perf_counter(), time.process_time()))

    def finish(self) -> None:
        """End the phase that was begun last."""
        name, wall, cpu = self._open.pop()
        found = [time.perf_counter() - wall, time.process_time() - cpu]
        for phase, sign in ((name, 1), *((outer[0], -1) for outer in self._open[-1:])):
            own = self.seconds.setdefault(phase, [0.0, 0.0])
            own[:] = [one + sign * more for one, more in zip(own, found, strict=True)]

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Make a phase of a block."""
        self._open.append((name, time.perf_counter(), time.process_time()))
        yield
        self.finish()

    def rows(self, data: str) -> Iterator[tuple[str, ...]]:
        """Yield rows of the table: what, seconds, share of all of them, cores."""
        total = sum(wall for wall, _ in self.seconds.values())
        for name, (wall, cpu) in self.seconds.items():
            yield f"{data}: {name}", f"{wall:.2f} s", f"{wall / total:.0%}", f"{cpu / max(wall, 1e-9):.2f}"


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, seconds, their share, cores that are kept busy."""
    found = list(_generated())
    for name in ("ml1m", "gowalla"):
        if (_SHARED / name).exists():
            found += measured(_trained(_SHARED / name), _SHARED / name, _RATIO, name)
    return found


def measured(checkpoint: FMCheckpoint, folder: Path, ratio: float, name: str) -> list[tuple[str, ...]]:
    """Return the rows of one checkpoint, quantized to its fp32 bytes over a ratio on the rows of a folder."""
    phases, data = Phases(), _rows_in(checkpoint, folder)
    tuning = TuneOptions(epochs=1, reassign=ReassignOptions(share=1.0))
    budget = int(checkpoint.fp32_bytes / ratio)
    job = pipeline.open_job(checkpoint, budget, data=data, tuning=tuning, progress=phases)
    with phases.phase("rotation"):
        found = pipeline.measure(job)
    with phases.phase("counts of categories"):
        _ = found.counts
    with phases.phase("what errors cost"):
        _ = found.sensitivity
    with phases.phase("candidates put together, knapsack"):
        plan = pipeline.make_plan(job, found)
    with phases.phase("codebooks put together"):
        quantized = pipeline.fit_codebooks(job, found, plan)
    with phases.phase("packing"):
        model = pipeline.pack(job, plan, quantized)
    with phases.phase("codes assigned anew once, scores of validation rows"):
        pipeline.finetune(job, found, model)
    return list(phases.rows(name))


def _generated() -> Iterator[tuple[str, ...]]:
    model = random_click_model(criteo.SCHEMA, dim=criteo.DIM, seed=0)
    with TemporaryDirectory() as folder:
        for part, (name, rows) in enumerate((("train", _ROWS), ("valid", _VALID_ROWS))):
            write_rows(draw_clicks(model, rows, seed=part), criteo.SCHEMA, Path(folder) / f"{name}.parquet")
        checkpoint = FMCheckpoint(criteo.SCHEMA, model.bias, model.linear, model.embeddings)
        yield from measured(checkpoint, Path(folder), _RATIO, "Criteo's shape")


def _rows_in(checkpoint: FMCheckpoint, folder: Path) -> TuningData:
    found = open_tuning_data(checkpoint, folder / "train.parquet", folder / "valid.parquet", DataOptions())
    if found is None:
        raise AssertionError(folder)
    return found


def _trained(folder: Path) -> FMCheckpoint:
    """Return a factorization machine after one epoch: it takes the time that a better one takes."""
    options = TrainOptions(dim=criteo.DIM, l2=1e-5, epochs=1)
    rows = open_training_rows(folder / "train.parquet", folder / "valid.parquet")
    return train(*rows, options).checkpoint


if __name__ == "__main__":
    if len(sys.argv) > 1:
        file, folder, ratio = sys.argv[1:]
        table = measured(load_checkpoint(file), Path(folder), float(ratio.rstrip("x")), Path(folder).name)
    else:
        table = run()
    for row in table:
        print(f"| {' | '.join(row)} |")
