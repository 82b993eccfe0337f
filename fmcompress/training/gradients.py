"""Gradients of several processes added up, in the way that moves the fewest bytes.

Most gradients go together in one buffer, by one all-reduce. Of a large table of which a batch touches few rows these
rows alone are sent. Sums are made in the order of the processes, and are the same in all, bit by bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fmcompress.processes.world import World

_LARGE_VALUES = 2**20
"""Numbers of a dense gradient from which on it is looked for the rows that a batch has touched."""


def add_up_gradients(world: World, parameters: Sequence[torch.nn.Parameter], loss: Tensor) -> Tensor:
    """Put in place of each gradient the sum of those of all processes, and return the sum of their losses.

    Args:
        world: the processes.
        parameters: all that are trained, in the same order in all processes.
        loss: what this process's rows add to it, a float32 scalar.
    """
    dense: list[torch.nn.Parameter] = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.is_sparse:
            parameter.grad = _sum_of_sparse(world, gradient)
        elif gradient.dim() != 2 or gradient.numel() < _LARGE_VALUES or not _add_up_rows(world, gradient):
            dense.append(parameter)
    together = [loss.detach(), *(parameter.grad for parameter in dense if parameter.grad is not None)]
    flat = torch.cat([own.reshape(-1) for own in together])
    world.add_up(flat)
    total, *summed = torch.split(flat, [own.numel() for own in together])
    for parameter, found in zip(dense, summed, strict=True):
        parameter.grad = found.view(parameter.shape)
    result: Tensor = total[0]
    return result


def _sum_of_sparse(world: World, gradient: Tensor) -> Tensor:
    own = gradient.coalesce()
    rows, values = _gathered(world, own.indices()[0], own.values())
    return torch.sparse_coo_tensor(
        torch.cat(rows)[None], torch.cat(values), gradient.shape, check_invariants=False
    ).coalesce()


def _add_up_rows(world: World, gradient: Tensor) -> bool:
    """Add a dense gradient up by the rows that are not zero, if these are few; return whether they are."""
    touched = gradient.any(dim=1).nonzero()[:, 0]
    most = int(world.total(np.array([len(touched)], dtype=np.int64))[0])
    if most >= len(gradient):  # an all-reduce sends twice the table, and each process gets all rows
        return False
    rows, values = _gathered(world, touched, gradient[touched])
    gradient[touched] = 0
    for of_process, own in zip(rows, values, strict=True):
        gradient.index_add_(0, of_process, own)
    return True


def _gathered(world: World, rows: Tensor, values: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Return the rows, int64 (n,), and values, float32 (n, columns), of all processes."""
    device = values.device
    found = world.gather(rows.to(torch.int32).cpu().numpy()), world.gather(values.cpu().numpy())
    indices, numbers = ([torch.from_numpy(array).to(device) for array in arrays] for arrays in found)
    return [own.long() for own in indices], numbers
