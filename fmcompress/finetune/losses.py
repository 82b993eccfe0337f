"""The loss of logits against targets, by the link of the model: see ``links.Link``."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.fm.links import Link

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and targets, float32 (rows,) each, to the mean loss, a scalar."""


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
