"""Optimizers and schedules that several trainables use."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim.lr_scheduler import LRScheduler, PolynomialLR

_MOST_DENSE_VALUES = 16_000_000


def sparse_gradients(values: int) -> bool:
    """Return whether tables with so many numbers are better trained with sparse gradients.

    Dense Adam visits every number at every step, lazy Adam sorts the batch's rows instead.
    """
    return values > _MOST_DENSE_VALUES


def adam(
    tables: Sequence[torch.nn.Parameter], others: Sequence[torch.nn.Parameter], lr: float, *, sparse: bool
) -> list[torch.optim.Optimizer]:
    """Return Adam for all parameters; for ``tables`` lazy Adam where their gradients are sparse."""
    if not sparse:
        return [torch.optim.Adam([*tables, *others], lr=lr, fused=True)]
    return [torch.optim.SparseAdam(list(tables), lr=lr), torch.optim.Adam(list(others), lr=lr, fused=True)]


def linear_decay(optimizers: Sequence[torch.optim.Optimizer], steps: int) -> list[LRScheduler]:
    """Return what lets learning rates fall linearly, to 0 after ``steps`` steps."""
    return [PolynomialLR(optimizer, total_iters=steps, power=1.0) for optimizer in optimizers]
