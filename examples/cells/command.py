"""What commands that make cells have in common: which cells, in which order, and what becomes of them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatch
from typing import Protocol

from cells import Cell, Place
from running import Runner, next_time, tell


class Study(Protocol):
    """The cells of one data set."""

    def cells(self) -> Iterator[Cell]:
        """Yield all cells."""


def of_sets(numbers: str, sets: Sequence[str]) -> list[int]:
    """Return a number for each set, from a list with commas of as many, or of one for all."""
    found = [int(number) for number in numbers.split(",")]
    return found * len(sets) if len(found) == 1 else found


def chosen_cells(studies: Sequence[Study], patterns: str) -> list[Cell]:
    """Return the cells whose names fit patterns; those of a seed come for all sets before those of the next."""
    cells = [cell for study in studies for cell in study.cells()]
    seeds = {seed: rank for rank, seed in enumerate(dict.fromkeys(cell.seed for cell in cells))}
    ordered = sorted(dict.fromkeys(cells), key=lambda cell: seeds[cell.seed])
    return [cell for cell in ordered if any(fnmatch(cell.name, each) for each in patterns.split(","))]


def list_cells(place: Place, cells: Iterable[Cell]) -> None:
    """Print which cells there are."""
    for cell in cells:
        there = "there" if place.result(cell) else place.failure(cell) or "missing"
        print(f"{cell.name} {place.key(cell)} {there}")


def make_cells(place: Place, cells: Iterable[Cell], jobs: int, until: str | None) -> list[Cell]:
    """Make the cells that are missing, and return those that failed; none is begun after a time such as ``18:00``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what has begun is ended, too
    return Runner(place, jobs, None if until is None else next_time(until), tell).run(cells)
