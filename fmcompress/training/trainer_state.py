"""How far training is, saved so that it can be broken off and taken up again."""

from dataclasses import asdict, dataclass, field, replace
from typing import Generic

import torch

from fmcompress.evaluation.scores import Scores
from fmcompress.training.run_state import RunState
from fmcompress.training.trainable import Kept, Trainable

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


def load_state(run_state: RunState, phase: str, trainable: Trainable[Kept]) -> TrainerState[Kept] | None:
    """Take up a phase where it was broken off, and return how far it was; None where it is to begin.

    Args:
        run_state: the files of the whole run.
        phase: name of the phase, such as ``search`` or ``tuning``.
        trainable: what is trained in it; it goes on from what it was.

    Raises:
        StateError: the state is not of this run.
    """
    saved = run_state.in_progress(phase)
    if saved is None:
        return None
    with run_state.reading():
        trainable.load_state_dict(saved["run"])
        best = saved["best"]
        found = None if best is None else (trainable.decode(best["state"]), Scores(**best["scores"]))
        return TrainerState(found, loss=EpochLoss(**saved["losses"]), **saved["course"])


def save_state(run_state: RunState, phase: str, trainable: Trainable[Kept], state: TrainerState[Kept]) -> None:
    """Save what is trained, and how far it is, where the run keeps a state; the inverse of ``load_state``.

    Raises:
        OutputError: a file cannot be written.
    """
    if run_state.path is None:
        return
    best = state.best
    saved = {
        "run": trainable.state_dict(),
        "best": None if best is None else {"state": trainable.encode(best[0]), "scores": asdict(best[1])},
        "losses": asdict(replace(state.loss, recent=float(state.loss.recent))),
        "course": {name: getattr(state, name) for name in _COUNTERS},
    }
    run_state.save(phase, saved, f"epoch {state.epoch} of the {phase}")
