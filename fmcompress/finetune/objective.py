"""What tuning minimises: targets of a batch, and the loss of logits against them, by the link of the model."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.data.batch import Batch
from fmcompress.devices.moving import moved
from fmcompress.devices.working import working_on
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link
from fmcompress.fm.scorers import OnDevice, scorer_of
from fmcompress.types import Float32Array

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and targets, float32 (rows,) each, to the mean loss, a scalar."""


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
        with working_on(device):
            self._teacher = scorer_of(teacher)
        self._distillation = distillation
        self._device = device

    def __call__(self, batch: Batch) -> Tensor:
        """Return the targets of a batch, float32 (rows,)."""
        if self._distillation == 0 or not isinstance(self._teacher, OnDevice):
            return moved(self.of(batch), self._device)
        # What is predicted on the device stays there.
        labels, found = (
            moved(batch.labels, self._device),
            self._teacher.predictions(batch.ids, batch.values, batch.bags),
        )
        return labels + self._distillation * (found - labels)

    def of(self, batch: Batch) -> Float32Array:
        """Return the targets of a batch, float32 (rows,), in memory."""
        if self._distillation == 0:
            return batch.labels
        share = np.float32(self._distillation)
        return batch.labels + share * (self._teacher.predict(batch.ids, batch.values, bags=batch.bags) - batch.labels)


def loss_by(link: Link) -> Loss:
    """Return the loss of a link: cross entropy in nats, or half the squared error."""
    if link.regression:
        return lambda logits, targets: _half_squared_error(logits, targets, link)
    return binary_cross_entropy_with_logits if link.name == "sigmoid" else _probit_cross_entropy


def _half_squared_error(logits: Tensor, targets: Tensor, link: Link) -> Tensor:
    # Beyond the range of a clip the gradient goes on, as in ``Link.slopes``.
    beyond = (logits.clamp(link.low, link.high) - logits).detach()
    return 0.5 * torch.mean((logits + beyond - targets) ** 2)


def _probit_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    both: Tensor = targets * torch.special.log_ndtr(logits) + (1 - targets) * torch.special.log_ndtr(-logits)
    return -both.mean()
