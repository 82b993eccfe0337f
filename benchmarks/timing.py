"""Timing two things in turn, so that their ratio holds on a machine whose speed drifts; and peaks of memory."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


def interleaved(works: Sequence[Callable[[], object]], rounds: int) -> list[list[float]]:
    """Return the seconds of each work in each round; the works take turns, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, found in zip(works, seconds, strict=True):
            start = time.perf_counter()
            work()
            if number:
                found.append(time.perf_counter() - start)
    return seconds


def peak_bytes(*, anew: bool = False) -> int:
    """Return the process's peak of resident memory, Linux only.

    Args:
        anew: let the peak begin anew, at what is resident now.
    """
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def peak_of(benchmark: str, *arguments: str) -> int:
    """Return the peak that the module of a benchmark prints, run in a process of its own."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", *arguments]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_row(name: str, found_bytes: int, base_bytes: int) -> tuple[str, ...]:
    """Return a row of a table: what, MiB, times the base."""
    return name, f"{found_bytes / 2**20:.0f} MiB", f"{found_bytes / base_bytes:.2f}"


def ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Return the median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))
