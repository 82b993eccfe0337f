"""Rows as a model scores them: their logits, and what these change by with the embedding of one field.

What an error in an embedding costs, which code a category is better off with, what a coarser field does to held-out
rows: all of it is found from these two. The logit of a factorization machine is linear in the embedding of each field,
so that the derivative says exactly what a change does; that of a network is not, and it says so to first order, which
makes of second derivatives of the loss those of Gauss and Newton.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from fmcompress.fm.bags import Bag
from fmcompress.fm.network import Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, Float32Array, Int64Array


class ScoredRows(Protocol):
    """Rows with logits, and derivatives of these."""

    @property
    def logits(self) -> Float32Array:
        """Of the rows, float32 (rows,)."""

    @property
    def sums(self) -> Float32Array:
        """S of the rows, float32 (rows, dim)."""

    def slopes(self, columns: int | Int64Array) -> Float32Array:
        """Return the derivative of each row's logit by q of one field, float32 (rows, dim).

        q is what the field adds to S: the embedding of its category, or of several values what they are pooled into.

        Args:
            columns: place of the field in ``Schema.id_names``, the same for all rows or that of each, int64 (rows,).
        """

    def value_slopes(self, column: int, bag: Bag, pooling: Pooling) -> Float32Array:
        """Return the derivative of the logit by the embedding of each value of a bag, float32 (values, dim).

        It is c_j s_q times that by q, what the values are pooled into.

        Args:
            column: place of the field in ``Schema.id_names``.
            bag: its values.
            pooling: how they are pooled.
        """


@dataclass(frozen=True, eq=False)
class NetworkRows:
    """Rows scored by a factorization machine with a network on top of it; see ``network_rows``.

    Attributes:
        network: the dense layers.
        vectors: q of each field in each row, float32 (rows, vectors, dim).
        sums: S, float32 (rows, dim).
        inputs: of the network, float32 (rows, inputs).
        layer_sums: of its layers, before their activations, float32 (rows, out) each.
        logits: float32 (rows,).
    """

    network: Network
    vectors: Float32Array
    sums: Float32Array
    inputs: Float32Array
    layer_sums: list[Float32Array]
    logits: Float32Array

    @cached_property
    def derivatives(self) -> Float32Array:
        """Derivative of the logits by q of each field, float32 (rows, vectors, dim)."""
        kind, (rows, vectors, dim) = self.network.of_kind, self.vectors.shape
        slopes = self.network.slopes_of(self.layer_sums)
        others = self.sums[:, None] - self.vectors
        if kind.concatenated:
            own = slopes[:, : vectors * dim].reshape(rows, vectors, dim)
            return own + others if kind.pairwise else own
        return np.asarray(others * (slopes[:, None, :dim] + np.float32(kind.pairwise)))

    def slopes(self, columns: int | Int64Array) -> Float32Array:
        """Return the derivative of each row's logit by q of one field, see ``ScoredRows``, float32 (rows, dim).

        Args:
            columns: of the field, int64 (rows,) where it is not the same for all.
        """
        found: Float32Array = self.derivatives[np.arange(len(self.logits)), columns]
        return found

    def value_slopes(self, column: int, bag: Bag, pooling: Pooling) -> Float32Array:
        """Return the derivative of the logit by the embedding of each value, see ``ScoredRows``, float32 (values, dim).

        Args:
            column: of the field.
            bag: its values.
            pooling: how they are pooled.
        """
        return np.asarray(bag.coefficients(pooling)[0][:, None] * self.derivatives[bag.rows, column])


def numeric_inputs(schema: Schema, numeric: NumericWeights, values: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Return what numeric fields give to a network, in the dtype of their values.

    Args:
        schema: the fields.
        numeric: weights of the numeric fields.
        values: x, 0 where one is missing, float32 or float64 (rows, numeric fields).

    Returns:
        q of those with embeddings, (rows, such fields, dim); Σ_j x_j w_j of all, (rows,); the values of those that are
        linear only, (rows, such fields).
    """
    linear_only = np.array([field.linear_only for field in schema.numeric], dtype=np.bool_)
    vectors = values[:, ~linear_only, None] * numeric.embeddings[~linear_only]
    return vectors, values @ numeric.linear, values[:, linear_only]


def network_rows(network: Network, vectors: Float32Array, scalars: Float32Array, values: Float32Array) -> NetworkRows:
    """Return rows with their logits.

    Args:
        network: the dense layers.
        vectors: q of each field in each row, in the order in which the network takes them, float32 (rows, vectors,
            dim).
        scalars: w_0 + Σ_i w_i x_i, float32 (rows,).
        values: of the numeric fields that are linear only, float32 (rows, such fields).
    """
    kind, sums = network.of_kind, vectors.sum(axis=1)
    interactions = 0.5 * (sums * sums - np.einsum("rvl,rvl->rl", vectors, vectors))
    taken = vectors.reshape(len(vectors), -1) if kind.concatenated else interactions
    inputs = np.concatenate([taken, values], axis=1, dtype=np.float32)
    layer_sums = network.sums(inputs)
    logits = scalars + network.values_of(layer_sums)
    if kind.pairwise:
        logits = logits + interactions.sum(axis=1)
    return NetworkRows(network, vectors, sums, inputs, layer_sums, logits.astype(np.float32))
