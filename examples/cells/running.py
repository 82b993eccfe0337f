"""Cells are made one after another or side by side, each in a process of its own: one that fails stops no other."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from multiprocessing import connection, get_all_start_methods, get_context
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from cells import Cell, Place
from making import carry_out

Tell = Callable[[str], None]


def _new_processes() -> BaseContext:
    """Return what begins processes: where there is a server that forks them, all is imported only once."""
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    processes = get_context("forkserver")
    processes.set_forkserver_preload(["torch", "faiss", "pyarrow.dataset", "fmcompress.baselines"])
    return processes


@dataclass
class Runner:
    """Makes the cells that are missing.

    Attributes:
        place: where data are and results are kept.
        jobs: processes side by side.
        until: no cell is begun after this time, in seconds since 1970; None for no limit.
        tell: is told of each cell that is done or has failed.
    """

    place: Place
    jobs: int
    until: float | None
    tell: Tell
    _waiting: list[Cell] = field(default_factory=list)
    _running: dict[int, tuple[BaseProcess, Cell, float]] = field(default_factory=dict)
    _failed: dict[str, Cell] = field(default_factory=dict)
    _processes: BaseContext = field(default_factory=_new_processes)

    def run(self, cells: Iterable[Cell]) -> list[Cell]:
        """Make cells, those that they need before them, and return those that failed.

        Whatever is broken off goes on where it was when this is called again.
        """
        wanted = {self.place.key(cell): cell for cell in _with_needs(cells)}
        self._waiting = [cell for cell in wanted.values() if self.place.result(cell) is None]
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when a process starts
        try:
            while self._begin_those_that_can() or self._running:
                self._wait()
        finally:
            for process, _, _ in self._running.values():
                process.terminate()
                process.join()
        if self._waiting:
            self.tell(f"time is up: {len(self._waiting)} cells are left, the same command goes on")
        return list(self._failed.values())

    def _begin_those_that_can(self) -> bool:
        """Begin cells whose needs are there, as many as there are processes for, and return whether any has begun."""
        begun = False
        for cell in list(self._waiting):
            missing = [need for need in cell.recipe.needs() if self.place.result(need) is None]
            failed = next((need for need in missing if self.place.key(need) in self._failed), None)
            if failed is not None:
                self._waiting.remove(cell)
                self._fail(cell, f"needs {failed.name}, which failed")
            elif not missing and len(self._running) < self.jobs and not self._time_is_up():
                self._waiting.remove(cell)
                self._begin(cell)
                begun = True
        return begun

    def _time_is_up(self) -> bool:
        return self.until is not None and time.time() >= self.until

    def _begin(self, cell: Cell) -> None:
        process = self._processes.Process(target=carry_out, args=(self.place, cell))
        process.start()
        self._running[process.sentinel] = process, cell, time.monotonic()

    def _wait(self) -> None:
        """Wait until a process has ended, and tell of its cell."""
        for sentinel in connection.wait(list(self._running)):
            process, cell, start = self._running.pop(sentinel)
            process.join()
            result = self.place.result(cell)
            if result is None:
                if process.exitcode != 1:
                    self.place.fail(cell, f"its process ended with code {process.exitcode}")
                self._fail(cell, self.place.failure(cell) or "no reason was given")
                continue
            auc = f"AUC {result['test']['auc']:.5f}, {result['bytes']:,} bytes, " if "test" in result else ""
            self.tell(f"{cell.name}: {auc}{time.monotonic() - start:.0f} s")

    def _fail(self, cell: Cell, why: str) -> None:
        self._failed[self.place.key(cell)] = cell
        self.place.fail(cell, why)
        self.tell(f"{cell.name}: FAILED, {why}")


def _with_needs(cells: Iterable[Cell]) -> Iterable[Cell]:
    """Yield cells, each after those that it needs."""
    for cell in cells:
        yield from _with_needs(cell.recipe.needs())
        yield cell


def tell(line: str) -> None:
    """Write a line to stderr, with the time."""
    print(f"{datetime.now():%H:%M:%S} {line}", file=sys.stderr, flush=True)


def next_time(clock: str) -> float:
    """Return when the clock shows a time, ``18:00``, next: in seconds since 1970."""
    hour, minute = map(int, clock.split(":"))
    at = datetime.now().replace(hour=hour, minute=minute, second=0, microsecond=0)
    return (at if at.timestamp() > time.time() else at + timedelta(days=1)).timestamp()
