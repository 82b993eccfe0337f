"""What a GPU makes of each phase, beside the CPU: runs the CUDA tests, measures, and writes a part of the docs.

It ends within six minutes, whatever happens: each part has its share of the time, and what does not fit is said.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import gpu_phases
from benchmarks.gpu_phases import Phase, Sizes
from fmcompress.devices import working
from fmcompress.quantization import device_kmeans, kmeans

_ROOT = Path(__file__).parent.parent
_PAGE = _ROOT / "docs" / "performance.md"
_BEGIN, _END = "<!-- begin: benchmarks.gpu -->", "<!-- end: benchmarks.gpu -->"
_TESTS = ("tests/finetune/test_cuda.py", "tests/devices/test_cuda.py")
_SECONDS, _GRACE, _TESTS_SECONDS, _PHASE_SECONDS = 340.0, 15.0, 120.0, 45.0
_ROUNDS, _ROUND_SECONDS = 5, 3.0
_COPY_BYTES = 2**30

NO_GPU = "there is no CUDA GPU that torch can use; --device cpu rehearses this script without one"


class OutOfTimeError(Exception):
    """A part has taken longer than it may."""


@dataclass
class Clock:
    """How much time is left of all that there is."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.seconds - (time.monotonic() - self.started)


@dataclass
class Table:
    """What has been found so far, which is written even where time runs out."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self, device: str) -> str:
        """Return the table with what is to be said of it."""
        head = ("phase", "CPU", device, "ratio", "of the bandwidth")
        lines = [head, ("---", "---:", "---:", "---:", "---:"), *self.rows]
        return "\n".join([*self.notes, "", *(f"| {' | '.join(row)} |" for row in lines)])


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return the exit code."""
    given = _parser().parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 1
    clock, table = Clock(given.seconds), Table()
    page = given.out or (_PAGE if given.device == "cuda" else None)
    sizes = gpu_phases.LARGE if given.device == "cuda" else gpu_phases.SMALL

    def end(code: int) -> int:
        text = table.markdown(given.device)
        print(text, flush=True)
        if page is not None:
            write_section(page, text)
        return code

    last = threading.Timer(given.seconds + _GRACE, lambda: os._exit(end(3)))  # a call that no signal reaches
    last.daemon = True
    last.start()
    table.notes.append(_machine(given.device))
    table.notes.append(_tests(clock) if given.device == "cuda" else "A rehearsal: torch on the CPU, small sizes.")
    measure(table, given.device, sizes, clock)
    last.cancel()
    return end(0)


def measure(table: Table, device: str, sizes: Sizes, clock: Clock) -> None:
    """Add a row for each phase to a table.

    Args:
        table: what it is added to.
        device: a torch device.
        sizes: of the phases.
        clock: how much time is left; phases that there is none for are named.
    """
    peak = _bandwidth(device)
    table.notes.append(f"A copy on the device moves {peak / 1e9:,.0f} GB/s: the bandwidth that shares are of.")
    skipped = []
    for phase in gpu_phases.phases(sizes):
        try:
            with _at_most(min(_PHASE_SECONDS, clock.left)):
                row = _row(phase, device, peak)
        except OutOfTimeError:
            skipped.append(phase.name)
            continue
        table.rows.append(row)
        print(*row, sep=" | ", flush=True)
    if skipped:
        table.notes.append(f"No time was left for: {', '.join(skipped)}.")


def write_section(page: Path, text: str) -> None:
    """Put a text between the marks of a page.

    Args:
        page: a file with the marks.
        text: what is to stand between them.
    """
    before, after = page.read_text().split(_BEGIN)[0], page.read_text().split(_END)[1]
    page.write_text(f"{before}{_BEGIN}\n{text}\n{_END}{after}")


@contextmanager
def at_work(device: str) -> Iterator[None]:
    """Let heavy work be done on a device; on the CPU too by torch, and in problems of any size: a rehearsal."""
    if device != "cpu":
        with working.working_on(device):
            yield
        return
    with (
        patch.object(working, "offloads", lambda _: True),
        patch.object(kmeans, "_LEAST_PRODUCTS", 0),
        working.working_on(device),
    ):
        yield


def _row(phase: Phase, device: str, peak: float) -> tuple[str, ...]:
    """Return a row of the table: name, seconds on the CPU and on the device, their ratio, share of the bandwidth."""
    on_cpu = _seconds(phase.work("cpu"), "cpu")
    with at_work(device):
        on_device = _seconds(phase.work(device), device)
    share = "" if phase.moved_bytes is None else f"{phase.moved_bytes / on_device / peak:.1%}"
    return phase.name, _shown(on_cpu), _shown(on_device), f"{on_cpu / on_device:.1f}", share


def _seconds(work: Callable[[], object], device: str) -> float:
    """Return the median of the seconds that a work takes, after one time that does not count."""
    work()
    found: list[float] = []
    while len(found) < _ROUNDS and (not found or sum(found) < _ROUND_SECONDS):
        _synchronise(device)
        start = time.perf_counter()
        work()
        _synchronise(device)
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _bandwidth(device: str) -> float:
    """Return the bytes a second, read and written, of a copy on the device."""
    count = _COPY_BYTES // 4 if device == "cuda" else 2**22
    source = torch.ones(count, device=device)
    target = torch.empty_like(source)
    return 8 * count / _seconds(lambda: target.copy_(source), device)


@contextmanager
def _at_most(seconds: float) -> Iterator[None]:
    """Break a block off after some time."""
    if seconds <= 0:
        raise OutOfTimeError

    def stop(*_: object) -> None:
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _tests(clock: Clock) -> str:
    """Run the CUDA tests, and return how they ended."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider", "-W", "default", *_TESTS]
    try:
        done = subprocess.run(
            command, cwd=_ROOT, capture_output=True, text=True, timeout=min(_TESTS_SECONDS, clock.left), check=False
        )
    except subprocess.TimeoutExpired:
        return f"The CUDA tests did not end within {_TESTS_SECONDS:.0f} seconds."
    print(done.stdout[-6000:], flush=True)
    return f"CUDA tests: {done.stdout.strip().splitlines()[-1].strip('= ') if done.stdout.strip() else 'none ran'}."


def _machine(device: str) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else "no GPU"
    found = "faiss with GPUs" if device_kmeans.faiss_has_gpu() else "faiss without GPUs"
    threads = f"{torch.get_num_threads()} threads of {platform.machine()}"
    return f"Measured on {date.today()}: {name}, against {threads}; torch {torch.__version__}, {found}."


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.2f} ms"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal at small sizes")
    parser.add_argument("--out", type=Path, help=f"page to write into, between {_BEGIN} and {_END}")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="what all of it may take")
    return parser


if __name__ == "__main__":
    sys.exit(main())
