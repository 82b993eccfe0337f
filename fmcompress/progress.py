"""How the library tells what it is doing: it never prints, it calls one of these."""

import math
import warnings

from fmcompress.errors import FMCompressWarning


class Progress:
    """Receives the steps of a long job; this one keeps silent.

    A job calls ``note`` for each finished step, and ``start``, ``advance`` … ``finish`` around a loop of
    known length.
    """

    def note(self, message: str) -> None:
        """Receive one finished step, as a line of text."""

    def warn(self, message: str) -> None:
        """Receive a line of text that must be seen, however silent all else is; it becomes a warning of Python's."""
        warnings.warn(message, FMCompressWarning, stacklevel=2)

    def start(self, what: str, total: int) -> None:
        """Begin a loop of ``total`` steps."""

    def advance(self, steps: int = 1, figures: str = "") -> None:
        """Go on by ``steps``; ``figures`` are what a reader wants to see beside the bar."""

    def finish(self) -> None:
        """End the loop begun by ``start``."""


SILENT = Progress()


def format_duration(seconds: float) -> str:
    """Return a time for people, rounded up to minutes: ``5 min``, ``2 h 05 min``."""
    minutes = max(1, math.ceil(seconds / 60))
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
