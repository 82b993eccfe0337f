"""Training by epochs: the loop that the vanilla FM, the search for codebooks and their tuning share.

Validation data choose the model that is kept. The learning rate falls with the steps, to 0 at the end, or in drops:
where validation stands still the best model is taken up again with a smaller one, and after two such drops training
ends.
"""

import math
import sys
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, Literal

import torch

from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import FILLED, shuffled
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.processes.world import this_process
from fmcompress.progress import Progress, format_duration
from fmcompress.training.run_state import RunState
from fmcompress.training.trainable import Kept, Trainable
from fmcompress.training.trainer_state import EpochLoss, TrainerState, load_state, save_state

_LR_DROPS = 2
_MIN_GAIN = 1e-5
_ROUNDING = 1e-5
"""Of an AUC: what rounding numbers anew may cost."""
_SHOW_EVERY = 20
_LINE_EVERY = 100
_LINES_PER_EPOCH = 200


@dataclass(frozen=True)
class Schedule:
    """When training ends.

    Attributes:
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better model before training falls back to the best one or ends; None
            goes through all epochs.
        seed: of the order of rows.
        steps: of all epochs together at most; None for no such limit.
        calibrate: whether states are calibrated on validation data before they are compared.
        select: what states are chosen by, see ``TuneOptions``.
    """

    batch_size: int
    epochs: int
    patience: int | None
    seed: int
    steps: int | None = None
    calibrate: bool = False
    select: Literal["both", "auc", "logloss"] = "both"


@dataclass(frozen=True)
class Fit(Generic[Kept]):
    """What training gave.

    Attributes:
        model: the best model.
        scores: its scores on validation data.
        epochs: passes over the data.
        best_epoch: after which of them it was reached; 0 for the model to beat.
    """

    model: Kept
    scores: Scores
    epochs: int
    best_epoch: int = 0


def fit(
    trainable: Trainable[Kept],
    rows: Rows,
    valid: Rows,
    schedule: Schedule,
    *,
    title: str,
    progress: Progress,
    start: tuple[Kept, Scores] | None = None,
    run_state: RunState | None = None,
) -> Fit[Kept]:
    """Train, and return the best model.

    Args:
        trainable: the model in training.
        rows: training data.
        valid: validation data.
        schedule: when training ends.
        title: what is trained; the name of this phase in the state and the history of a run.
        progress: told of each epoch.
        start: a model to beat, and its scores; nothing with less AUC is chosen unless LogLoss alone is to choose.
        run_state: keeps the state and the history of the run, and knows whence it goes on.

    Raises:
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state is of another run.
    """
    run_state = run_state or RunState()
    saved = load_state(run_state, title, trainable)
    state = saved or TrainerState(best=start)
    least_auc = -math.inf if start is None or schedule.select == "logloss" else start[1].auc
    training = _Training(trainable, rows, valid, schedule, title, progress, run_state, state, least_auc)
    training.first_step = training.steps_done
    this_process().spread([own for own in trainable.module.state_dict().values() if isinstance(own, torch.Tensor)])
    if start is not None and saved is None:
        training.write("epoch", training.epoch_figures(0, *start, better=True))
    while state.epoch <= schedule.epochs and not training.over:
        training.run_epoch()
        told = training.judge()
        training.save()
        progress.note(told)
    if state.best is None:
        raise UsageError("epochs is 0, expected 1 or more")
    return Fit(*state.best, state.epoch - 1, state.best_epoch)


@dataclass
class _Training(Generic[Kept]):
    """Training in progress."""

    trainable: Trainable[Kept]
    rows: Rows
    valid: Rows
    schedule: Schedule
    title: str
    progress: Progress
    run_state: RunState
    state: TrainerState[Kept]
    least_auc: float
    first_step: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows.rows // self.schedule.batch_size)

    @property
    def steps_done(self) -> int:
        return (self.state.epoch - 1) * self.steps_per_epoch + self.state.done

    @property
    def over(self) -> bool:
        return self.state.drops > _LR_DROPS

    @property
    def epoch_title(self) -> str:
        return f"{self.title}, epoch {self.state.epoch} of at most {self.schedule.epochs}"

    def run_epoch(self) -> None:
        """Go through the data once, or through what is left of them."""
        state, progress = self.state, self.progress
        line_every = max(_LINE_EVERY, -(-self.steps_per_epoch // _LINES_PER_EPOCH))
        last_step = None if self.schedule.steps is None else self.schedule.steps - self.steps_done + state.done
        if not state.done:
            self.trainable.begin_epoch(state.epoch, self.schedule.epochs)
        progress.start(self.epoch_title, self.steps_per_epoch)
        progress.advance(state.done)
        figures = ""
        order = self.schedule.seed * 1_000_003 + state.epoch
        batches = shuffled(self.rows, self.schedule.batch_size, seed=order, shares=FILLED)
        for batch in islice(batches, state.done, last_step):
            state.loss.add(self.trainable.step(batch))
            state.done += 1
            if state.done % _SHOW_EVERY == 1:  # reading the loss waits for a GPU
                figures = self.bar_figures()
            if state.done % line_every == 0:
                self.write("step", self.step_figures(state.loss.take_recent()))
            progress.advance(figures=figures)
            if self.run_state.due:
                self.save()
        progress.finish()

    def judge(self) -> str:
        """Score the model after an epoch, keep it or lower the learning rate, and return what to tell of it."""
        state = self.state
        model, scores = self._calibrated()
        better = self._is_better(model, scores)
        self.write("epoch", self.epoch_figures(state.epoch, model, scores, better=better))
        told = f"{self.epoch_title}: loss {state.loss.mean():.4f}, validation {scores}{' *' if better else ''}"
        state.waited = 0 if better else state.waited + 1
        if state.best is None or better:
            state.best, state.best_epoch = (model, scores), state.epoch
        if state.waited == self.schedule.patience:
            state.waited, state.drops = 0, state.drops + 1
            if not self.over:
                self.trainable.fall_back(state.best[0])
        state.epoch, state.done, state.loss = state.epoch + 1, 0, EpochLoss()
        return ", ".join([told, *self.size_of(model), *self.time_left()])

    def _calibrated(self) -> tuple[Kept, Scores]:
        """Return the model as it is now, calibrated where that is asked for and gains something, and its scores."""
        model = self.trainable.kept()
        scores = self._score(model)
        by = scores.calibration_gained
        if not self.schedule.calibrate or by.identity:
            return model, scores
        rescaled = self.trainable.rescaled(model, by)
        if rescaled is None:
            return model, scores
        if not self._is_better(rescaled, scores):
            return rescaled, scores.calibrated()  # as they would be, which is as good where nobody takes it
        found = self._score(rescaled)
        return (rescaled, found) if found.logloss < scores.logloss else (model, scores)

    def _score(self, model: Kept) -> Scores:
        return score_rows(model, self.valid, self.trainable.scorer(model))

    def _is_better(self, model: Kept, scores: Scores) -> bool:
        best = self.state.best
        if best is None:
            return True
        if scores.auc < self.least_auc - _ROUNDING or not self.trainable.admissible(model):
            return False
        by = self.schedule.select
        return scores.selection_by(by) > best[1].selection_by(by) + _MIN_GAIN

    def save(self) -> None:
        """Save how far training is, where the run keeps a state."""
        save_state(self.run_state, self.title, self.trainable, self.state)

    def write(self, event: str, figures: dict[str, Any]) -> None:
        """Add a line to the history, with the phase and the seconds of the run."""
        self.run_state.write(event, {"stage": self.title, **figures, "seconds": round(self.run_state.seconds, 3)})

    def bar_figures(self) -> str:
        best = self.state.best
        told = [f"best {best[1]}", *self.size_of(best[0])] if best else []
        return ", ".join([f"loss {self.state.loss.mean():.4f}", *told, *self.time_left()])

    def size_of(self, model: Kept) -> list[str]:
        """Say the size of a model's file, where it has one."""
        file_bytes = self.trainable.file_bytes(model)
        return [] if file_bytes is None else [f"{file_bytes:,} bytes"]

    def time_left(self) -> list[str]:
        """Say how long all epochs will take, if validation does not end them earlier."""
        done = self.steps_done
        left = min(self.schedule.epochs * self.steps_per_epoch, self.schedule.steps or sys.maxsize) - done
        if left <= 0 or self.over or done == self.first_step:
            return []
        seconds = (time.monotonic() - self.started) / (done - self.first_step) * left
        return [f"at most {format_duration(seconds)} left"]

    def step_figures(self, loss: float | None) -> dict[str, Any]:
        return {
            "epoch": self.state.epoch,
            "step": self.steps_done,
            "loss": loss,
            "lr": self.trainable.optimizers[0].param_groups[0]["lr"],
            **self.trainable.figures(),
        }

    def epoch_figures(self, epoch: int, model: Kept, scores: Scores, *, better: bool) -> dict[str, Any]:
        return {
            **self.step_figures(self.state.loss.mean() if epoch else None),
            "epoch": epoch,
            "auc": scores.auc,
            "logloss": scores.logloss,
            "rmse": scores.rmse,
            "bytes": self.trainable.file_bytes(model),
            "best": better,
        }
