"""How far training is, and where that is written down, so that it can be broken off and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic

import torch

from fmcompress.evaluation.scores import Scores
from fmcompress.training.run_state import Journal
from fmcompress.training.trainable import ResumableRun, State

_COUNTERS = ("best_epoch", "epoch", "done", "waited", "drops")


@dataclass
class Losses:
    """Mean losses of an epoch, summed where the model is: reading a number waits for a GPU.

    Attributes:
        total: sum of the losses up to the last line of the history.
        steps: their number.
        recent: sum of those since.
        recent_steps: their number.
    """

    total: float = 0.0
    steps: int = 0
    recent: torch.Tensor | float = 0.0
    recent_steps: int = 0

    def add(self, loss: torch.Tensor) -> None:
        """Count the loss of a step, a scalar."""
        self.recent = self.recent + loss.detach().double()
        self.recent_steps += 1

    def mean(self) -> float:
        """Return the mean of all."""
        return (self.total + float(self.recent)) / max(1, self.steps + self.recent_steps)

    def take_recent(self) -> float:
        """Return the mean since this was called last."""
        mean = float(self.recent) / max(1, self.recent_steps)
        self.total += float(self.recent)
        self.steps += self.recent_steps
        self.recent, self.recent_steps = 0.0, 0
        return mean


@dataclass
class Course(Generic[State]):
    """How far training is: what ``fit`` itself remembers from step to step.

    Attributes:
        best: the best state so far, and its scores.
        best_epoch: after which epoch it was reached; 0 for the state to beat.
        epoch: the epoch in progress, from 1.
        done: steps of it that are done.
        losses: of these steps.
        waited: epochs without a better state.
        drops: how often the learning rate fell.
    """

    best: tuple[State, Scores] | None = None
    best_epoch: int = 0
    epoch: int = 1
    done: int = 0
    losses: Losses = field(default_factory=Losses)
    waited: int = 0
    drops: int = 0


class Log(Generic[State]):
    """Where ``fit`` writes down how far it is; this one keeps nothing."""

    def recalled(self) -> Course[State] | None:
        """Take up a run that was broken off, and return how far it was; None where there is none."""
        return None

    @property
    def due(self) -> bool:
        """Whether it is time to save again, in the middle of an epoch."""
        return False

    def save(self, course: Course[State]) -> None:
        """Save how far training is."""

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history."""


class Stage(Log[State]):
    """Writes down one stage of a run in a journal."""

    def __init__(self, journal: Journal, name: str, run: ResumableRun[State]) -> None:
        """Take up or begin a stage.

        Args:
            journal: the journal of the whole run.
            name: of the stage, such as ``search`` or ``tuning``.
            run: what is trained in it.
        """
        self._journal = journal
        self._name = name
        self._run = run

    def recalled(self) -> Course[State] | None:
        """Take up the run where the journal holds its memory, and return how far it was.

        Raises:
            StateError: the memory is not of this run.
        """
        saved = self._journal.memory(self._name)
        if saved is None:
            return None
        with self._journal.reading():
            self._run.recall(saved["run"])
            best = saved["best"]
            found = None if best is None else (self._run.decode(best["state"]), Scores(**best["scores"]))
            return Course(found, losses=Losses(**saved["losses"]), **saved["course"])

    @property
    def due(self) -> bool:
        """Whether the journal should be saved again."""
        return self._journal.due

    def save(self, course: Course[State]) -> None:
        """Save the run, and how far it is."""
        if not self._journal.keeps_state:
            return
        losses = replace(course.losses, recent=float(course.losses.recent))
        best = course.best
        memory = {
            "run": self._run.memory(),
            "best": None if best is None else {"state": self._run.encode(best[0]), "scores": asdict(best[1])},
            "losses": asdict(losses),
            "course": {name: getattr(course, name) for name in _COUNTERS},
        }
        self._journal.save(self._name, memory, f"epoch {course.epoch} of the {self._name}")

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history, with the name of the stage."""
        self._journal.write(event, {"stage": self._name, **figures, "seconds": round(self._journal.seconds, 3)})
