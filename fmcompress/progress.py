"""How the library tells what it is doing: it never prints, it calls one of these."""

from __future__ import annotations


class Progress:
    """Receives the steps of a long job; this one keeps silent.

    A job calls ``note`` for each finished step, and ``start``, ``advance`` … ``finish`` around a loop of
    known length.
    """

    def note(self, message: str) -> None:
        """Receive one finished step, as a line of text."""

    def start(self, what: str, total: int) -> None:
        """Begin a loop of ``total`` steps."""

    def advance(self, steps: int = 1, figures: str = "") -> None:
        """Go on by ``steps``; ``figures`` are what a reader wants to see beside the bar."""

    def finish(self) -> None:
        """End the loop begun by ``start``."""


SILENT = Progress()
