"""How far training is, and how that is recorded, so that it can be broken off and taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Generic

import torch

from fmcompress.evaluation.scores import Scores
from fmcompress.training.run_state import RunState
from fmcompress.training.trainable import Kept, ResumableTrainable

_COUNTERS = ("best_epoch", "epoch", "done", "waited", "drops")


@dataclass
class EpochLoss:
    """Mean loss of an epoch, summed where the model is: reading a number waits for a GPU.

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
        """Count the loss of a step, a float32 scalar."""
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
class TrainerState(Generic[Kept]):
    """How far training is: what ``fit`` itself remembers from step to step.

    Attributes:
        best: the best model so far, and its scores.
        best_epoch: after which epoch it was reached; 0 for the model to beat.
        epoch: the epoch in progress, from 1.
        done: steps of it that are done.
        loss: of these steps.
        waited: epochs without a better model.
        drops: how often the learning rate fell.
    """

    best: tuple[Kept, Scores] | None = None
    best_epoch: int = 0
    epoch: int = 1
    done: int = 0
    loss: EpochLoss = field(default_factory=EpochLoss)
    waited: int = 0
    drops: int = 0


class Recorder(Generic[Kept]):
    """Where ``fit`` records how far it is; this one keeps nothing."""

    def load(self) -> TrainerState[Kept] | None:
        """Take up a run that was broken off, and return how far it was; None where there is none."""
        return None

    @property
    def due(self) -> bool:
        """Whether it is time to save again, in the middle of an epoch."""
        return False

    def save(self, state: TrainerState[Kept]) -> None:
        """Save how far training is."""

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history."""


@dataclass(frozen=True)
class PhaseRecorder(Recorder[Kept]):
    """Records one phase of a run in the run's files.

    Attributes:
        run_state: the files of the whole run.
        phase: name of the phase, such as ``search`` or ``tuning``.
        trainable: what is trained in it.
    """

    run_state: RunState
    phase: str
    trainable: ResumableTrainable[Kept]

    def load(self) -> TrainerState[Kept] | None:
        """Take up the phase where the run state holds it, and return how far it was.

        Raises:
            StateError: the state is not of this run.
        """
        saved = self.run_state.in_progress(self.phase)
        if saved is None:
            return None
        with self.run_state.reading():
            self.trainable.load_state_dict(saved["run"])
            best = saved["best"]
            found = None if best is None else (self.trainable.decode(best["state"]), Scores(**best["scores"]))
            return TrainerState(found, loss=EpochLoss(**saved["losses"]), **saved["course"])

    @property
    def due(self) -> bool:
        """Whether the run state should be saved again."""
        return self.run_state.due

    def save(self, state: TrainerState[Kept]) -> None:
        """Save what is trained, and how far it is."""
        if not self.run_state.keeps_state:
            return
        best = state.best
        saved = {
            "run": self.trainable.state_dict(),
            "best": None if best is None else {"state": self.trainable.encode(best[0]), "scores": asdict(best[1])},
            "losses": asdict(replace(state.loss, recent=float(state.loss.recent))),
            "course": {name: getattr(state, name) for name in _COUNTERS},
        }
        self.run_state.save(self.phase, saved, f"epoch {state.epoch} of the {self.phase}")

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line to the history, with the name of the phase."""
        self.run_state.write(event, {"stage": self.phase, **figures, "seconds": round(self.run_state.seconds, 3)})
