"""Training by epochs: the loop that the vanilla FM and the tuning of codebooks share.

Validation data choose the state that is kept. Where validation stands still the best state is taken up
again with a smaller learning rate, and after two such drops training ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from fmcompress.data import Batch, ParquetRows, shuffled
from fmcompress.errors import UsageError
from fmcompress.evaluation import Model, Scores, score_rows
from fmcompress.progress import Progress

State = TypeVar("State", bound=Model)

_LR_DECAY = 0.2
_LR_DROPS = 2
_MIN_GAIN = 1e-5
_SHOW_EVERY = 20
_DENSE_VALUES = 16_000_000


class Run(ABC, Generic[State]):
    """A model in training.

    Attributes:
        module: all parameters and buffers that are trained.
        optimizers: what trains them.
    """

    module: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised on a batch, and of it the binary cross entropy; scalars."""

    @abstractmethod
    def state(self) -> State:
        """Return the model as it is now, in a form that can be scored and kept."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take up a kept state again."""

    def step(self, batch: Batch) -> torch.Tensor:
        """Make one step, and return the binary cross entropy before it, a scalar."""
        objective, entropy = self.loss(batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        return entropy

    def decay(self) -> None:
        """Multiply the learning rate by 0.2."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= _LR_DECAY

    def figures(self) -> dict[str, float]:
        """Return what else the history tells of this run, beside loss, scores and learning rate."""
        return {}


class ResumableRun(Run[State]):
    """A run that can be broken off and taken up again, with the same result."""

    def memory(self) -> dict[str, Any]:
        """Return all that the next step reads: nested dicts and lists of tensors, numbers and texts."""
        return {
            "module": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from what ``memory`` returned, on this device or another."""
        self.module.load_state_dict(memory["module"])
        for optimizer, state in zip(self.optimizers, memory["optimizers"], strict=True):
            optimizer.load_state_dict(state)

    @abstractmethod
    def encode(self, state: State) -> dict[str, Any]:
        """Return a kept state as tensors, numbers and texts."""

    @abstractmethod
    def decode(self, encoded: dict[str, Any]) -> State:
        """Return the state that ``encode`` was given."""


@dataclass(frozen=True)
class Schedule:
    """When training ends.

    Attributes:
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better state before the learning rate falls or training ends.
        seed: of the order of rows.
    """

    batch_size: int
    epochs: int
    patience: int
    seed: int


@dataclass(frozen=True)
class Fit(Generic[State]):
    """What training gave.

    Attributes:
        state: the best state.
        scores: its scores on validation data.
        epochs: passes over the data.
    """

    state: State
    scores: Scores
    epochs: int


def fit(
    run: Run[State],
    rows: ParquetRows,
    valid: ParquetRows,
    schedule: Schedule,
    *,
    title: str,
    progress: Progress,
    start: tuple[State, Scores] | None = None,
) -> Fit[State]:
    """Train until validation stands still, and return the best state.

    Args:
        run: the model in training.
        rows: training data.
        valid: validation data.
        schedule: when training ends.
        title: what is trained, for progress.
        progress: told of each epoch.
        start: a state to beat, and its scores.
    """
    best = start
    waited = drops = epoch = 0
    for epoch in range(1, schedule.epochs + 1):
        _pass(run, rows, schedule, epoch, f"{title}, epoch {epoch}", progress)
        state = run.state()
        scores = score_rows(state, valid)
        better = best is None or scores.selection > best[1].selection + _MIN_GAIN
        progress.note(f"{title}, epoch {epoch}: validation {scores}{' *' if better else ''}")
        waited = 0 if better else waited + 1
        if best is None or better:
            best = state, scores
        if waited == schedule.patience:
            waited, drops = 0, drops + 1
            if drops > _LR_DROPS:
                break
            run.restore(best[0])
            run.decay()
    if best is None:
        raise UsageError("epochs is 0, expected 1 or more")
    return Fit(best[0], best[1], epoch)


def _pass(run: Run[State], rows: ParquetRows, schedule: Schedule, epoch: int, title: str, progress: Progress) -> None:
    progress.start(title, -(-rows.rows // schedule.batch_size))
    figures = ""
    for number, batch in enumerate(shuffled(rows, schedule.batch_size, seed=schedule.seed * 1_000_003 + epoch)):
        entropy = run.step(batch)
        if number % _SHOW_EVERY == 0:  # reading the loss waits for a GPU
            figures = f"loss {entropy.item():.4f}"
        progress.advance(figures=figures)
    progress.finish()


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
