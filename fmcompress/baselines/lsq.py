"""Learned step size quantization (LSQ, Esser et al., ICLR 2020): rounding that training sees through."""

from __future__ import annotations

import torch
from torch import Tensor

from fmcompress.baselines.integers import Integers


def fake_quantized(values: Tensor, steps: Tensor, gradient_scales: Tensor, integers: Integers) -> Tensor:
    """Return v̂ = ⌊clip(v/s, −Q_N, Q_P)⌉ · s, with the gradients of the paper.

        ∂v̂/∂v = 1 where −Q_N < v/s < Q_P, else 0
        ∂v̂/∂s = g · (⌊v/s⌉ − v/s) where −Q_N < v/s < Q_P, else g · −Q_N or g · Q_P

    Args:
        values: v, float32.
        steps: s, float32, of a shape that is broadcast to that of ``values``.
        gradient_scales: g, float32, of the same kind.
        integers: their lowest is −Q_N, their highest Q_P.
    """
    scaled_steps = steps * gradient_scales
    steps = scaled_steps + (steps - scaled_steps).detach()
    ratios = torch.clamp(values / steps, integers.lowest, integers.highest)
    return _straight_through(torch.round(ratios), ratios) * steps


def as_stored(steps: Tensor) -> Tensor:
    """Return steps as float16 holds them, with the gradient of steps."""
    return _straight_through(steps.half().float(), steps)


def _straight_through(rounded: Tensor, exact: Tensor) -> Tensor:
    """Return ``rounded``, with the gradient of ``exact``."""
    return exact + (rounded - exact).detach()
