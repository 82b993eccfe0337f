"""Arrays on their way to a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcompress.types import AnyArray

_BLOCK_BYTES = 64 * 2**20


def moved(array: AnyArray, device: torch.device | str) -> Tensor:
    """Return an array on a device, a tensor of its shape and dtype.

    To a GPU it goes through pinned memory, and the caller goes on meanwhile; on the CPU the tensor shares its memory.

    Args:
        array: of any dtype that torch has.
        device: a torch device.
    """
    tensor = torch.from_numpy(array if array.flags.writeable else array.copy())  # torch warns of what it must not write
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def moved_by_blocks(table: Any, device: torch.device | str) -> Tensor:
    """Return a float32 table on a device, block by block: it need not be in memory, nor is a copy of it.

    Args:
        table: float32 (n, columns), an array or what has its face: ``shape``, and slices that are arrays.
        device: a torch device.
    """
    if isinstance(table, np.ndarray) and torch.device(device).type == "cpu":
        return moved(table, device)
    rows, columns = table.shape
    found = torch.empty((rows, columns), dtype=torch.float32, device=device)
    step = max(1, _BLOCK_BYTES // (4 * columns))
    for first in range(0, rows, step):
        block = slice(first, min(first + step, rows))
        found[block] = moved(np.ascontiguousarray(table[block]), device)
    return found


def sums_of_groups(values: Tensor, groups: Tensor, size: int) -> Tensor:
    """Return the sum of the values of each group, (size, columns); in a fixed order, which atomic sums have not.

    Args:
        values: of any float dtype, (n, columns).
        groups: of each value, int64 (n,), below ``size``.
        size: number of groups.
    """
    order = torch.argsort(groups, stable=True)
    counts = torch.bincount(groups, minlength=size)
    return torch.nn.functional.embedding_bag(order, values, torch.cumsum(counts, 0) - counts, mode="sum")
