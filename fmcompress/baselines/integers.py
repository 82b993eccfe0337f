"""Symmetric integers: a number is a code times a step, the steps being those of a field's columns.

Arrays are rounded as a file holds them; tensors in a way that training sees through: learned step size quantization
(LSQ, Esser et al., ICLR 2020).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fmcompress.fm.schema import Schema
from fmcompress.types import Float16Array, Float32Array, Float64Array, Int64Array

_FACTORS = np.geomspace(1, 0.02, 80)
_LEAST_WEIGHT = 1e-6
LEAST_STEP = float(np.finfo(np.float16).tiny)
"""The smallest step: the smallest float16 of full precision."""


@dataclass(frozen=True)
class Integers:
    """Integers of so many bits, one of which is the sign."""

    bits: int

    @property
    def lowest(self) -> int:
        """The lowest code."""
        return -(1 << (self.bits - 1))

    @property
    def highest(self) -> int:
        """The highest code."""
        return (1 << (self.bits - 1)) - 1

    def codes(self, values: Float32Array, steps: Float32Array) -> Float32Array:
        """Return the nearest codes, whole numbers as float32, in the shape of ``values``.

        Args:
            values: float32, of any shape.
            steps: float32, of a shape to divide them by.
        """
        codes: Float32Array = np.clip(np.rint(values / steps), self.lowest, self.highest)
        return codes


INT4 = Integers(4)
INT8 = Integers(8)


def best_steps(values: Float32Array, schema: Schema, counts: Int64Array, integers: Integers) -> Float16Array:
    """Return the steps with the least squared error, weighted with counts; out of 80 for each field and column.

    Args:
        values: a table, float32 (categories, columns).
        schema: the fields.
        counts: rows in which each category is active, int64 (categories,).
        integers: what the codes are to be.

    Returns:
        The steps, float16 (fields, columns).
    """
    weights = np.maximum(counts, _LEAST_WEIGHT).astype(np.float32)
    fields = zip(schema.split(values), schema.split(weights), strict=True)
    return np.stack([_best_of_field(table, weight, integers) for table, weight in fields])


def _best_of_field(values: Float32Array, weights: Float32Array, integers: Integers) -> Float16Array:
    """Return the best step of each column, float16 (columns,)."""
    largest = np.abs(values).max(axis=0) / integers.highest
    steps = as_float16(largest * _FACTORS[:, None])
    errors = []
    for step in steps.astype(np.float32):
        shift = values - integers.codes(values, step) * step
        errors.append(np.einsum("i,ij,ij->j", weights, shift, shift))
    found: Float16Array = np.take_along_axis(steps, np.argmin(errors, axis=0)[None], axis=0)[0]
    return found


def as_float16(steps: Float32Array | Float64Array) -> Float16Array:
    """Return steps as they are stored, float16 in their own shape."""
    stored: Float16Array = np.clip(steps, LEAST_STEP, float(np.finfo(np.float16).max)).astype(np.float16)
    return stored


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
    return straight_through(torch.round(ratios), ratios) * steps


def fake_float16(steps: Tensor) -> Tensor:
    """Return steps as they are stored, float32 in their own shape, with the gradient of steps."""
    steps = steps.clamp_min(LEAST_STEP)
    return straight_through(steps.half().float(), steps)


def straight_through(rounded: Tensor, exact: Tensor) -> Tensor:
    """Return ``rounded``, with the gradient of ``exact``."""
    return exact + (rounded - exact).detach()
