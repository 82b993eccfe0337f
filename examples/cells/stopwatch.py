"""How long the steps of training take: measured while models are trained, in seconds of the processor."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from fmcompress.progress import Progress


@dataclass
class Stopwatch(Progress):
    """Measures the steps of each stage of training, and keeps what is told in a file.

    Seconds are those that this process had the processor for: others that run beside it do not count.

    Attributes:
        log: the file.
        stages: steps and seconds of each stage, such as ``search`` and ``tuning``.
    """

    log: Path
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    _stage: str | None = None
    _steps: int = 0
    _start: float = 0.0

    def note(self, message: str) -> None:
        """Keep a line."""
        with self.log.open("a") as file:
            file.write(message + "\n")

    def warn(self, message: str) -> None:
        """Keep a line."""
        self.note(f"warning: {message}")

    def start(self, what: str, total: int) -> None:
        """Begin an epoch; other loops are not measured."""
        stage, epoch, _ = what.partition(", epoch ")
        self._stage = stage if epoch else None
        self._steps, self._start = 0, time.process_time()

    def advance(self, steps: int = 1, figures: str = "") -> None:
        """Count a step; those of a run before a break are told at once, and do not count."""
        self._steps += steps == 1

    def finish(self) -> None:
        """End an epoch."""
        if self._stage is None or not self._steps:
            return
        found = self.stages.setdefault(self._stage, {"steps": 0, "seconds": 0.0})
        found["steps"] += self._steps
        found["seconds"] += time.process_time() - self._start
        self._stage = None
