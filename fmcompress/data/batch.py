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
        ids: category ids counted from 0, ``MISSING`` where there is none, int32 (rows, ids), in the order of
            ``Schema.id_names``. An id that a field has for PAD is ``MISSING`` too.
        labels: 0 or 1, or for a regression any numbers, float32 (rows,); NaN where no labels were asked for.
        values: of the numeric fields, 0 where one is missing, float32 (rows, numeric fields).
    """

    ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.float32]
    values: npt.NDArray[np.float32] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.values is None:
            object.__setattr__(self, "values", np.empty((len(self.ids), 0), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[np.int64] | npt.NDArray[np.bool_] | slice) -> Batch:
        """Return the rows at these positions."""
        return Batch(self.ids[rows], self.labels[rows], self.values[rows])


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one."""
    return Batch(
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
    )
