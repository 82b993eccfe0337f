"""How many bytes a model may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cells import Cell
from work import Work

import fmcompress as fc


class Budget(Protocol):
    """Bytes that a model may have."""

    def needs(self) -> tuple[Cell, ...]:
        """Return the cells that say how many."""

    def bytes(self, work: Work, checkpoint: fc.FMCheckpoint) -> int | None:
        """Return how many; None for as many as it takes."""


@dataclass(frozen=True)
class AsMany:
    """As many bytes as the sizes of the method take."""

    def needs(self) -> tuple[Cell, ...]:
        """Return none."""
        return ()

    def bytes(self, work: Work, checkpoint: fc.FMCheckpoint) -> int | None:
        """Return that there is no limit."""
        return None


@dataclass(frozen=True)
class Ratio:
    """A share of the checkpoint's bytes in fp32.

    Attributes:
        ratio: by which they are divided.
    """

    ratio: float

    def needs(self) -> tuple[Cell, ...]:
        """Return none."""
        return ()

    def bytes(self, work: Work, checkpoint: fc.FMCheckpoint) -> int | None:
        """Return the share."""
        return int(checkpoint.fp32_bytes // self.ratio)


@dataclass(frozen=True)
class BytesOf:
    """The bytes of another model, or a share of them.

    Attributes:
        cell: the other model.
        share: of its bytes.
    """

    cell: Cell
    share: float = 1.0

    def needs(self) -> tuple[Cell, ...]:
        """Return the other model."""
        return (self.cell,)

    def bytes(self, work: Work, checkpoint: fc.FMCheckpoint) -> int | None:
        """Return its bytes, or the share of them."""
        return int(work.result(self.cell)["bytes"] * self.share)
