"""Training by epochs: the loop that the vanilla FM, the search for codebooks and their tuning share.

Validation data choose the state that is kept. The learning rate falls with the steps, to 0 at the end, or in drops:
where validation stands still the best state is taken up again with a smaller one, and after two such drops training
ends.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic

import torch
from torch.optim.lr_scheduler import LRScheduler, PolynomialLR

from fmcompress.artifact import CompressedFM
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import shuffled
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Model, Scores, score_rows
from fmcompress.progress import Progress, format_duration
from fmcompress.training.progress_state import Course, Log, Losses, Stage
from fmcompress.training.trainable import ResumableRun, Run, State

__all__ = [
    "Fit",
    "Log",
    "ResumableRun",
    "Run",
    "Schedule",
    "Stage",
    "State",
    "adam",
    "fit",
    "linear_decay",
    "sparse_gradients",
]

_LR_DROPS = 2
_MIN_GAIN = 1e-5
_SHOW_EVERY = 20
_LINE_EVERY = 100
_LINES_PER_EPOCH = 200
_DENSE_VALUES = 16_000_000


@dataclass(frozen=True)
class Schedule:
    """When training ends.

    Attributes:
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better state before the run falls back to the best one or training ends; None
            goes through all epochs.
        seed: of the order of rows.
        steps: of all epochs together at most; None for no such limit.
    """

    batch_size: int
    epochs: int
    patience: int | None
    seed: int
    steps: int | None = None


@dataclass(frozen=True)
class Fit(Generic[State]):
    """What training gave.

    Attributes:
        state: the best state.
        scores: its scores on validation data.
        epochs: passes over the data.
        best_epoch: after which of them the best state was reached; 0 for the state to beat.
    """

    state: State
    scores: Scores
    epochs: int
    best_epoch: int = 0


def fit(
    run: Run[State],
    rows: Rows,
    valid: Rows,
    schedule: Schedule,
    *,
    title: str,
    progress: Progress,
    start: tuple[State, Scores] | None = None,
    journal: Log[State] | None = None,
) -> Fit[State]:
    """Train, and return the best state.

    Args:
        run: the model in training.
        rows: training data.
        valid: validation data.
        schedule: when training ends.
        title: what is trained, for progress.
        progress: told of each epoch.
        start: a state to beat, and its scores.
        journal: where to write down how far training is, and whence to go on: a ``Stage``.

    Raises:
        DataError: the rows cannot be used.
        OutputError: the journal cannot be written.
        StateError: the journal holds the memory of another run.
    """
    return _Fitting(run, rows, valid, schedule, title, progress, journal or Log()).fit(start)


class _Fitting(Generic[State]):
    """Training in progress."""

    def __init__(
        self,
        run: Run[State],
        rows: Rows,
        valid: Rows,
        schedule: Schedule,
        title: str,
        progress: Progress,
        log: Log[State],
    ) -> None:
        self._run = run
        self._rows = rows
        self._valid = valid
        self._schedule = schedule
        self._title = title
        self._progress = progress
        self._log = log
        self._steps = -(-rows.rows // schedule.batch_size)
        self._line_every = max(_LINE_EVERY, -(-self._steps // _LINES_PER_EPOCH))
        self._course: Course[State] = Course()
        self._started = time.monotonic()
        self._first = 0

    def fit(self, start: tuple[State, Scores] | None) -> Fit[State]:
        recalled = self._log.recalled()
        self._course = course = recalled or Course(best=start)
        self._first = self._steps_done
        if start is not None and recalled is None:
            self._log.write("epoch", self._epoch_figures(0, *start, better=True))
        while course.epoch <= self._schedule.epochs and not self._over:
            self._pass()
            told = self._judge()
            self._log.save(course)
            self._progress.note(told)
        if course.best is None:
            raise UsageError("epochs is 0, expected 1 or more")
        return Fit(*course.best, course.epoch - 1, course.best_epoch)

    def _pass(self) -> None:
        """Go through the data once, or through what is left of them."""
        course, progress = self._course, self._progress
        if not course.done:
            self._run.begin_epoch(course.epoch, self._schedule.epochs)
        progress.start(self._epoch_title, self._steps)
        progress.advance(course.done)
        figures = ""
        order = shuffled(self._rows, self._schedule.batch_size, seed=self._schedule.seed * 1_000_003 + course.epoch)
        for batch in islice(order, course.done, self._last_step):
            course.losses.add(self._run.step(batch))
            course.done += 1
            if course.done % _SHOW_EVERY == 1:  # reading the loss waits for a GPU
                figures = self._bar_figures()
            if course.done % self._line_every == 0:
                self._log.write("step", self._step_figures(course.losses.take_recent()))
            progress.advance(figures=figures)
            if self._log.due:
                self._log.save(course)
        progress.finish()

    def _judge(self) -> str:
        """Score the model after an epoch, keep it or lower the learning rate, and return what to tell of it."""
        course, run = self._course, self._run
        state = run.state()
        scores = score_rows(state, self._valid)
        better = course.best is None or scores.selection > course.best[1].selection + _MIN_GAIN
        self._log.write("epoch", self._epoch_figures(course.epoch, state, scores, better=better))
        told = f"{self._epoch_title}: loss {course.losses.mean():.4f}, validation {scores}{' *' if better else ''}"
        course.waited = 0 if better else course.waited + 1
        if course.best is None or better:
            course.best, course.best_epoch = (state, scores), course.epoch
        if course.waited == self._schedule.patience:
            course.waited, course.drops = 0, course.drops + 1
            if not self._over:
                run.fall_back(course.best[0])
        course.epoch, course.done, course.losses = course.epoch + 1, 0, Losses()
        return ", ".join([told, *_size(state), *self._time_left()])

    @property
    def _last_step(self) -> int | None:
        """How many steps the epoch in progress has, where not all."""
        steps = self._schedule.steps
        return None if steps is None else steps - (self._course.epoch - 1) * self._steps

    @property
    def _over(self) -> bool:
        return self._course.drops > _LR_DROPS

    @property
    def _epoch_title(self) -> str:
        return f"{self._title}, epoch {self._course.epoch} of at most {self._schedule.epochs}"

    @property
    def _steps_done(self) -> int:
        return (self._course.epoch - 1) * self._steps + self._course.done

    def _bar_figures(self) -> str:
        course = self._course
        best = [f"best {course.best[1]}", *_size(course.best[0])] if course.best else []
        return ", ".join([f"loss {course.losses.mean():.4f}", *best, *self._time_left()])

    def _time_left(self) -> list[str]:
        """Say how long all epochs will take, if validation does not end them earlier."""
        done = self._steps_done
        left = min(self._schedule.epochs * self._steps, self._schedule.steps or sys.maxsize) - done
        if left <= 0 or self._over or done == self._first:
            return []
        seconds = (time.monotonic() - self._started) / (done - self._first) * left
        return [f"at most {format_duration(seconds)} left"]

    def _step_figures(self, loss: float | None) -> dict[str, Any]:
        return {
            "epoch": self._course.epoch,
            "step": self._steps_done,
            "loss": loss,
            "lr": self._run.optimizers[0].param_groups[0]["lr"],
            **self._run.figures(),
        }

    def _epoch_figures(self, epoch: int, state: State, scores: Scores, *, better: bool) -> dict[str, Any]:
        return {
            **self._step_figures(self._course.losses.mean() if epoch else None),
            "epoch": epoch,
            "auc": scores.auc,
            "logloss": scores.logloss,
            "rmse": scores.rmse,
            "bytes": _file_bytes(state),
            "best": better,
        }


def _file_bytes(state: Model) -> int | None:
    return state.file_bytes if isinstance(state, CompressedFM) else None


def _size(state: Model) -> list[str]:
    """Say the size of an artifact."""
    found = _file_bytes(state)
    return [] if found is None else [f"{found:,} bytes"]


def sparse_gradients(values: int) -> bool:
    """Return whether tables with so many numbers are better trained with sparse gradients.

    Dense Adam visits every number at every step, lazy Adam sorts the batch's rows instead.
    """
    return values > _DENSE_VALUES


def adam(
    tables: list[torch.nn.Parameter], others: list[torch.nn.Parameter], lr: float, *, sparse: bool
) -> list[torch.optim.Optimizer]:
    """Return Adam for all parameters; for ``tables`` lazy Adam where their gradients are sparse."""
    if not sparse:
        return [torch.optim.Adam([*tables, *others], lr=lr, fused=True)]
    return [torch.optim.SparseAdam(tables, lr=lr), torch.optim.Adam(others, lr=lr, fused=True)]


def linear_decay(optimizers: list[torch.optim.Optimizer], steps: int) -> list[LRScheduler]:
    """Return what lets learning rates fall linearly, to 0 after ``steps`` steps."""
    return [PolynomialLR(optimizer, total_iters=steps, power=1.0) for optimizer in optimizers]
