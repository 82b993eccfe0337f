"""A cell in the making: its files, and what it may ask of others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cells import Cell, Place
from stopwatch import Stopwatch

import fmcompress as fc
from fmcompress.evaluation.predictors import Model


@dataclass(frozen=True)
class Made:
    """What a recipe has made.

    Attributes:
        model: what scores rows; None where the cell is no model.
        figures: what the result says, beside its scores.
    """

    model: Model | None
    figures: dict[str, Any]


@dataclass
class Work:
    """A cell in the making.

    Attributes:
        place: where data are and results are kept.
        cell: the cell.
        watch: measures its training.
    """

    place: Place
    cell: Cell
    watch: Stopwatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = Stopwatch(self.file(".log"))

    def part(self, part: str) -> Path:
        """Return the file of a part of the set."""
        return self.place.part(self.cell.data, part)

    def file(self, suffix: str) -> Path:
        """Return a file of this cell."""
        return self.place.file(self.cell, suffix)

    def result(self, cell: Cell) -> dict[str, Any]:
        """Return the result of a cell that this one needs."""
        found = self.place.result(cell)
        if found is None:
            raise LookupError(f"{cell.name} is not there")
        return found

    def checkpoint(self, source: Cell) -> fc.FMCheckpoint:
        """Return the checkpoint of a cell that has trained one."""
        return fc.load_checkpoint(self.place.work / self.result(source)["checkpoint"])


class Recipe(Protocol):
    """Makes a cell; its attributes are all its settings, and part of the cell's key."""

    def needs(self) -> tuple[Cell, ...]:
        """Return the cells that it starts from."""

    def make(self, work: Work) -> Made:
        """Make the cell; called again after a break, it goes on."""
