"""Slope and curvature of the loss by the logit on a torch device: those of ``links.Link``, formula by formula."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fmcompress.fm.links import BEYOND_CLIP, FAR_LOGIT, LARGEST_LOGIT, Link

_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


def predictions(link: Link, logits: Tensor) -> Tensor:
    """Return the predictions of logits (rows,), float32 (rows,); see ``Link.predict``."""
    if link.regression:
        return logits.clamp(link.low, link.high).float()
    z = logits.double()
    found: Tensor = torch.sigmoid(z) if link.name == "sigmoid" else torch.special.ndtr(z)
    return found.float()


def slopes(link: Link, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the first derivative of the loss by the logit, float64 (rows,); see ``Link.slopes``.

    Args:
        link: of the model.
        logits: float64 (rows,).
        targets: float64 (rows,).
    """
    if link.regression:
        return logits.clamp(link.low, link.high) - targets
    if link.name == "sigmoid":
        return _sigmoid(logits) - targets
    return (1 - targets) * _hazard(-logits) - targets * _hazard(logits)


def curvatures(link: Link, logits: Tensor) -> Tensor:
    """Return the expected second derivative of the loss by the logit, float64 (rows,); see ``Link.curvatures``.

    Args:
        link: of the model.
        logits: float64 (rows,).
    """
    if link.regression:
        beyond = (logits < link.low) | (logits > link.high)
        return torch.where(beyond, BEYOND_CLIP, torch.ones_like(logits))
    if link.name == "sigmoid":
        p = _sigmoid(logits)
        return p * (1 - p)
    return _hazard(logits) * _hazard(-logits)


def losses(link: Link, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each row, float64 of the logits' shape; see ``Link.losses``.

    Args:
        link: of the model.
        logits: float64 (…, rows).
        targets: float64 (rows,).
    """
    if link.regression:
        return 0.5 * (logits.clamp(link.low, link.high) - targets) ** 2
    if link.name == "sigmoid":
        return logits.clamp_min(0) + torch.log1p(torch.exp(-logits.abs())) - targets * logits
    found: Tensor = -targets * torch.special.log_ndtr(logits) - (1 - targets) * torch.special.log_ndtr(-logits)
    return found


def _sigmoid(logits: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-logits.clamp(-LARGEST_LOGIT, LARGEST_LOGIT)))


def _hazard(logits: Tensor) -> Tensor:
    near = logits.clamp_min(-FAR_LOGIT)
    found = torch.exp(-0.5 * near.square() - _LOG_SQRT_2PI - torch.special.log_ndtr(near))
    return torch.where(logits < near, -logits, found)
