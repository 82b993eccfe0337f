"""Symmetric integers: a number is a code times a step, the steps being those of a field's columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fmcompress.fm.schema import Schema

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

    def codes(self, values: npt.NDArray[np.float32], steps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the nearest codes, whole numbers as float32, of ``values``; steps are of a shape to divide them by."""
        codes: npt.NDArray[np.float32] = np.clip(np.rint(values / steps), self.lowest, self.highest)
        return codes


INT4 = Integers(4)
INT8 = Integers(8)


def best_steps(
    values: npt.NDArray[np.float32], schema: Schema, counts: npt.NDArray[np.int64], integers: Integers
) -> npt.NDArray[np.float16]:
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
    parts = zip(schema.split(values), schema.split(weights), strict=True)
    return np.stack([_best_of_field(part, weight, integers) for part, weight in parts])


def _best_of_field(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.float32], integers: Integers
) -> npt.NDArray[np.float16]:
    """Return the best step of each column, float16 (columns,)."""
    largest = np.abs(values).max(axis=0) / integers.highest
    steps = as_float16(largest * _FACTORS[:, None])
    errors = []
    for step in steps.astype(np.float32):
        shift = values - integers.codes(values, step) * step
        errors.append(np.einsum("i,ij,ij->j", weights, shift, shift))
    found: npt.NDArray[np.float16] = np.take_along_axis(steps, np.argmin(errors, axis=0)[None], axis=0)[0]
    return found


def as_float16(steps: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Return steps as they are stored."""
    stored: npt.NDArray[np.float16] = np.clip(steps, LEAST_STEP, float(np.finfo(np.float16).max)).astype(np.float16)
    return stored
