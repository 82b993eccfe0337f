"""What a model in tuning is to predict."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.scorer import FMScorer


class Targets:
    """(1 − d) · label + d · p, with p the prediction of the factorization machine that is compressed.

    Its predictions say more of a row than its label does, and keep few codewords from learning the training rows by
    heart.
    """

    def __init__(self, teacher: FMCheckpoint, distillation: float, device: str) -> None:
        """Prepare the targets of batches.

        Args:
            teacher: the factorization machine that is compressed.
            distillation: d, 0 to 1.
            device: where the targets are wanted.
        """
        self._teacher = FMScorer(teacher)
        self._distillation = distillation
        self._device = device

    def __call__(self, batch: Batch) -> Tensor:
        """Return the targets of a batch, float32 (rows,)."""
        return torch.from_numpy(self.of(batch)).to(self._device)

    def of(self, batch: Batch) -> npt.NDArray[np.float32]:
        """Return the targets of a batch, float32 (rows,), in memory."""
        if self._distillation == 0:
            return batch.labels
        share = np.float32(self._distillation)
        return batch.labels + share * (self._teacher.predict(batch.ids, batch.values) - batch.labels)
