"""What baselines are asked for, and what they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fmcompress.backbones.train_fm import TrainedFM, train
from fmcompress.baselines.options import BaselineOptions
from fmcompress.data.rows import TuningData, count_categories
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.progress import Progress


@dataclass(frozen=True)
class Task:
    """What baselines are asked for.

    Attributes:
        source: the factorization machine to compare with.
        data: rows to train and tune on; the schema is that of ``source``.
        budgets: sizes that files must not exceed, in bytes, where a baseline can be made of any size.
        options: how to train and tune.
        progress: told of each step.
    """

    source: FMCheckpoint
    data: TuningData
    budgets: tuple[int, ...]
    options: BaselineOptions
    progress: Progress

    def __post_init__(self) -> None:
        if self.source.schema.numeric or self.source.link != "sigmoid":
            raise UsageError(
                "baselines are made for categorical fields and sigmoid links alone",
                hint="sweep without --baselines",
            )

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """Training rows in which each category is active, int64 (categories,)."""
        return count_categories(self.data.rows)

    @cached_property
    def smaller(self) -> SmallerFMs:
        """The smaller factorization machines."""
        return SmallerFMs(self)


class SmallerFMs:
    """Factorization machines smaller than the source; each is trained when it is first asked for, and kept."""

    def __init__(self, task: Task) -> None:
        """Train none yet."""
        self._task = task
        self._trained: dict[int, TrainedFM] = {}

    @property
    def dims(self) -> list[int]:
        """Their embedding sizes."""
        return [dim for dim in self._task.options.dims if dim < self._task.source.dim]

    def __getitem__(self, dim: int) -> FMCheckpoint:
        """Return the one with this embedding size."""
        if dim not in self._trained:
            self._trained[dim] = self._train(dim)
        return self._trained[dim].checkpoint

    def _train(self, dim: int) -> TrainedFM:
        """Train in all ways, and return what is best on validation data."""
        task = self._task
        ways = task.options.trainings(dim)
        trained = [train(task.data.rows, task.data.valid, how, progress=task.progress) for how in ways]
        return max(trained, key=lambda found: found.scores.selection)
