"""Categories of a step's rows that several processes have: what one has found for a category holds for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fmcompress.processes.world import World
from fmcompress.types import AnyArray, Int32Array


@dataclass(frozen=True)
class SharedCategories:
    """The distinct categories of the rows of each process.

    Attributes:
        world: the processes.
        of_all: their categories, rising, int32 (n,) each.
    """

    world: World
    of_all: list[AnyArray]

    @classmethod
    def of(cls, world: World, categories: Tensor) -> SharedCategories:
        """Tell the others this process's categories, rising, int64 (n,)."""
        return cls(world, world.gather(categories.cpu().numpy().astype(np.int32)))

    @property
    def own(self) -> Int32Array:
        """The categories of this process, int32 (n,)."""
        return self.of_all[self.world.rank]

    def holders(self) -> Tensor:
        """Return how many processes have each category of this one, float32 (n,)."""
        return torch.from_numpy(np.sum([_among(self.own, others) for others in self.of_all], axis=0, dtype=np.float32))

    def of_others(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the categories that others have and this process has not, and their codes.

        Args:
            codes: of the categories of this process, int32 (n, subspaces).

        Returns:
            int64 (m,), and int32 (m, subspaces).
        """
        told = self.world.gather(codes.cpu().numpy())
        categories, first = np.unique(np.concatenate(self.of_all), return_index=True)
        new = ~_among(categories, self.own)
        found = np.concatenate(told)[first[new]]
        return torch.from_numpy(categories[new].astype(np.int64)), torch.from_numpy(found)


def _among(categories: AnyArray, others: AnyArray) -> AnyArray:
    """Return which of some categories are among others, which are rising, bool (n,)."""
    if not len(others):
        return np.zeros(len(categories), dtype=bool)
    places = np.minimum(np.searchsorted(others, categories), len(others) - 1)
    return np.asarray(others[places] == categories)
