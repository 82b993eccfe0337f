"""What is trained: a model with its optimizers, and how it is taken up again after a break."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch

from fmcompress.data import Batch
from fmcompress.evaluation import Model

State = TypeVar("State", bound=Model)

_LR_DECAY = 0.2


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
