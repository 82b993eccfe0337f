"""The artifacts of several budgets, side by side where one of them keeps one core busy.

A step of the tuning is too small for threads to share it: two budgets on a core each take little longer than one on
both. What is computed is the same, bit by bit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from threading import Event
from time import perf_counter

from fmcompress import pipeline
from fmcompress.cores import usable_cores
from fmcompress.methods.base import Job
from fmcompress.processes.world import this_process
from fmcompress.progress import Progress
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.plan import Plan
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import format_size

_LARGEST_BYTES = 64 * 2**20
"""Larger checkpoints are worked on one at a time: each budget in work holds some of its weights several times."""

Timed = tuple[CompressedFM, float]
"""A model, and the seconds that it took."""


def quantize_all(largest: Job, planned: Sequence[tuple[int, Plan]], measured: Measurements) -> Iterator[Timed]:
    """Yield the compressed model of each budget, in their order, and its seconds.

    Args:
        largest: the job, of any budget.
        planned: budgets in bytes, and what is planned for each.
        measured: of the checkpoint.

    Raises:
        DataError: the rows cannot be used.
    """
    jobs = [(replace(largest, budget_bytes=budget_bytes), plan) for budget_bytes, plan in planned]
    if not _works_side_by_side(largest, len(jobs)):
        yield from (_timed(job, plan, measured) for job, plan in jobs)
        return
    _ = measured.counts, measured.sensitivity  # once, before several ask for them
    stop = Event()
    works = [partial(_timed, _with_notes_alone(job, stop), plan, measured) for job, plan in jobs]
    try:
        yield from side_by_side(works, title="quantizing to all budgets", progress=largest.progress)
    finally:
        stop.set()


def _works_side_by_side(job: Job, budgets: int) -> bool:
    one_core_each = job.data is not None and job.tuning.device == "cpu" and this_process().alone
    return one_core_each and min(budgets, usable_cores()) > 1 and job.checkpoint.fp32_bytes <= _LARGEST_BYTES


def _timed(job: Job, plan: Plan, measured: Measurements) -> Timed:
    start = perf_counter()
    model = pipeline.quantize(job, plan, measured)
    return model, perf_counter() - start


def _with_notes_alone(job: Job, stop: Event) -> Job:
    """Return the job with notes that say its budget, and without loops of its own in the progress."""
    return replace(job, progress=_Notes(job.progress, format_size(job.budget_bytes or 0), stop))


class _StoppedError(Exception):
    """Another budget has failed, or the user has had enough."""


class _Notes(Progress):
    """Passes on notes and warnings, under a name; ends the work that goes on, where the others have been stopped."""

    def __init__(self, progress: Progress, name: str, stop: Event) -> None:
        """Remember where notes go, under which name, and what says that it is over."""
        self._progress, self._name, self._stop = progress, name, stop

    def start(self, what: str, total: int) -> None:
        """Show no loop."""
        self._go_on()

    def advance(self, steps: int = 1, figures: str = "") -> None:
        """Show no loop."""
        self._go_on()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def note(self, message: str) -> None:
        """Pass it on."""
        self._progress.note(f"{self._name}: {message}")

    def warn(self, message: str) -> None:
        """Pass it on."""
        self._progress.warn(f"{self._name}: {message}")
