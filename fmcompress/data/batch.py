"""A batch of rows, and the checks that every batch passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MISSING = -1
"""Id of a missing value: it contributes nothing to the logit."""


@dataclass(frozen=True)
class Batch:
    """Some rows of the data.

    Attributes:
        ids: category ids counted from 0 in each field, ``MISSING`` where there is none, int32 (rows, fields).
        labels: 0 or 1, float32 (rows,); NaN where no labels were asked for.
    """

    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Batch:
        """Return the rows at these positions."""
        return Batch(self.ids[rows], self.labels[rows])


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one."""
    return Batch(np.concatenate([batch.ids for batch in batches]), np.concatenate([batch.labels for batch in batches]))
