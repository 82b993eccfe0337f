"""What is trained: a model with its optimizers, and how it is taken up again after a break."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch.optim.lr_scheduler import LRScheduler

from fmcompress.data.batch import Batch
from fmcompress.evaluation.predictors import Model

Kept = TypeVar("Kept", bound=Model)


class Trainable(ABC, Generic[Kept]):
    """A model in training.

    Attributes:
        module: all parameters and buffers that are trained.
        optimizers: what trains them.
        schedulers: what changes learning rates after each step.
    """

    module: torch.nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedulers: Sequence[LRScheduler]

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised on a batch, and of it the loss against the targets; float32 scalars."""

    @abstractmethod
    def kept(self) -> Kept:
        """Return the model as it is now, in a form that can be scored and kept."""

    def step(self, batch: Batch) -> torch.Tensor:
        """Make one step, and return the loss against the targets before it, a float32 scalar."""
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

    def fall_back(self, kept: Kept) -> None:
        """Take up a kept model again, with a smaller learning rate; only schedules with patience ask for it."""
        raise NotImplementedError

    def figures(self) -> dict[str, Any]:
        """Return what else the history tells of this model, beside loss, scores and learning rate."""
        return {}

    def file_bytes(self, kept: Kept) -> int | None:
        """Return the size of the file of a kept model, where that is known."""
        return None


class ResumableTrainable(Trainable[Kept]):
    """A model in training that can be broken off and taken up again, with the same result."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads: nested dicts and lists of tensors, numbers and texts."""
        return {
            "module": self.module.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned, on this device or another."""
        self.module.load_state_dict(state["module"])
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)
        for scheduler, own in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(own)

    @abstractmethod
    def encode(self, kept: Kept) -> dict[str, Any]:
        """Return a kept model as tensors, numbers and texts."""

    @abstractmethod
    def decode(self, encoded: dict[str, Any]) -> Kept:
        """Return the model that ``encode`` was given."""
