"""What is trained: a model with its optimizers, and how it is taken up again after a break."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler

from fmcompress.data.batch import Batch
from fmcompress.evaluation.scores import Model

State = TypeVar("State", bound=Model)


class Run(ABC, Generic[State]):
    """A model in training.

    Attributes:
        module: all parameters and buffers that are trained.
        optimizers: what trains them.
        schedulers: what changes learning rates after each step.
    """

    module: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedulers: Sequence[LRScheduler] = ()

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised on a batch, and of it the binary cross entropy; scalars."""

    @abstractmethod
    def state(self) -> State:
        """Return the model as it is now, in a form that can be scored and kept."""

    def step(self, batch: Batch) -> torch.Tensor:
        """Make one step, and return the binary cross entropy before it, a scalar."""
        objective, entropy = self.loss(batch)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()
        for scheduler in self.schedulers:
            scheduler.step()
        return entropy

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Do what is to be done before an epoch; ``epoch`` counts from 1, there are ``epochs`` at most."""

    def fall_back(self, state: State) -> None:
        """Take up a kept state again, with a smaller learning rate; only schedules with patience ask for it."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        """Return what else the history tells of this run, beside loss, scores and learning rate."""
        return {}


class ResumableRun(Run[State]):
    """A run that can be broken off and taken up again, with the same result."""

    def memory(self) -> dict[str, Any]:
        """Return all that the next step reads: nested dicts and lists of tensors, numbers and texts."""
        return {
            "module": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from what ``memory`` returned, on this device or another."""
        self.module.load_state_dict(memory["module"])
        for optimizer, state in zip(self.optimizers, memory["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        for scheduler, state in zip(self.schedulers, memory["schedulers"], strict=True):
            scheduler.load_state_dict(state)

    @abstractmethod
    def encode(self, state: State) -> dict[str, Any]:
        """Return a kept state as tensors, numbers and texts."""

    @abstractmethod
    def decode(self, encoded: dict[str, Any]) -> State:
        """Return the state that ``encode`` was given."""
