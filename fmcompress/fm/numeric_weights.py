"""Numeric fields: one linear weight and one embedding each, multiplied by the value in the row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.types import Float32Array, Float64Array


@checked_arguments
@dataclass(frozen=True)
class NumericWeights:
    """Weights of the numeric fields.

    With S_n = Σ_j x_j v_j they add to the logit of a row, beside S of its categories,

        Σ_j (x_j w_j − ½ x_j² ‖v_j‖²)   and to ½ ‖S‖²:   ½ ‖S + S_n‖²

    Attributes:
        linear: w, float32 (fields,).
        embeddings: V, float32 (fields, dim); zeros where a field enters the linear term alone.
    """

    linear: Float32Array
    embeddings: Float32Array

    @classmethod
    @checked_arguments
    def none(cls, dim: int) -> NumericWeights:
        """Return the weights of no field."""
        return cls(np.empty(0, np.float32), np.empty((0, dim), np.float32))

    def __len__(self) -> int:
        return len(self.linear)

    def contributions(self, values: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Return S_n, float32 (rows, dim), and Σ_j (x_j w_j − ½ x_j² ‖v_j‖²), float32 (rows,).

        Args:
            values: x, float32 (rows, fields); 0 where a value is missing.
        """
        norms = np.einsum("fl,fl->f", self.embeddings, self.embeddings)
        return values @ self.embeddings, values @ self.linear - np.float32(0.5) * (np.square(values) @ norms)

    def added(self, values: Float32Array | Float64Array, sums: Float32Array) -> Float32Array:
        """Return what they add to the logits of rows, float32 (rows,).

            Σ_j x_j w_j + S·S_n + ½ (‖S_n‖² − Σ_j x_j² ‖v_j‖²)

        It is computed in float64: of values of any size, the squares in the last term cancel each other.

        Args:
            values: x, (rows, fields); 0 where a value is missing.
            sums: S of the categories, float32 (rows, dim).
        """
        x, v = values.astype(np.float64), self.embeddings.astype(np.float64)
        own = x @ v
        pairs = np.einsum("rl,rl->r", own, own) - np.square(x) @ np.einsum("fl,fl->f", v, v)
        with np.errstate(over="ignore"):
            return np.asarray(x @ self.linear + np.einsum("rl,rl->r", sums, own) + 0.5 * pairs, dtype=np.float32)
