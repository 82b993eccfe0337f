"""The weights that a quantizer is made for: a field, or one tier of it, and what errors in them cost.

Sub-vectors are whitened: put in coordinates in which Euclidean distance is what an error costs. With the Cholesky
factor H = L Lᵀ of a subspace's block of H_f, δᵀ H δ = ‖Lᵀ δ‖². k-means on the rows of V L minimises the factorization
machine's expected loss; its centroids times L⁻¹ are codewords again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Literal

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import BLOCK_ROWS, Table, rows_of
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.fm.tiers import Tiers
from fmcompress.quantization.drawn_categories import drawn_categories
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.quantization.table_moments import weighted_moments
from fmcompress.types import Float32Array, Float64Array, Int64Array, UInt8Array

_Drawn = tuple[Int64Array, Float32Array]

Metric = Literal["fm", "euclidean"]
"""What k-means minimises: the expected loss, or the squared distance with all categories alike (Eq. 2)."""


@dataclass(frozen=True)
class FieldWeights:
    """A field of the factorization machine, or some of its categories, and what errors in it cost.

    Attributes:
        embeddings: float32 (cardinality, dim), in memory or on the disk.
        linear: float32 (cardinality,).
        frequencies: p_i, shares of all rows, float64 (cardinality,).
        hessian: H_f, float64 (dim, dim).
        curvature: h_f.
        negligible: a rise of the loss per row that is none.
        has_linear: whether linear weights are stored; those of a table of vectors alone are zeros, and are not.
    """

    embeddings: Table
    linear: Float32Array
    frequencies: Float64Array
    hessian: Float64Array
    curvature: float
    negligible: float = 0.0
    has_linear: bool = True
    _once: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)
    _found: list[Float64Array] = field(default_factory=list, init=False, repr=False, compare=False)
    _drawn: dict[tuple[int, int], _Drawn] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def cardinality(self) -> int:
        """Number of categories."""
        return len(self.embeddings)

    @property
    def dim(self) -> int:
        """Embedding size l."""
        return int(self.embeddings.shape[1])

    @property
    def is_large(self) -> bool:
        """Whether it is worked on by several blocks of categories."""
        return self.cardinality > BLOCK_ROWS

    @property
    def covariance(self) -> Float64Array:
        """Σ_i p_i (v_i − mean)(v_i − mean)ᵀ, float64 (dim, dim); it is found once, whoever asks first."""
        with self._once:
            if not self._found:
                self._found.append(weighted_moments(self.embeddings, self.frequencies)[1])
            return self._found[0]

    def drawn(self, count: int, *, seed: int) -> _Drawn:
        """Return some categories, int64 (count,), and their embeddings, float32 (count, dim), which are read once."""
        with self._once:
            if (count, seed) not in self._drawn:
                categories = drawn_categories(self.cardinality, count, seed=seed)
                self._drawn[count, seed] = categories, self.embeddings[categories]
            return self._drawn[count, seed]

    def take(self, categories: Int64Array) -> FieldWeights:
        """Return the weights of some categories, rising, int64 (n,)."""
        return replace(
            self,
            embeddings=rows_of(self.embeddings, categories),
            linear=self.linear[categories],
            frequencies=self.frequencies[categories],
        )

    def in_metric(self, metric: Metric) -> FieldWeights:
        """Return the weights with the costs by which codebooks are made in this metric."""
        if metric == "fm":
            return self
        shares = np.broadcast_to(1 / self.cardinality, self.cardinality)
        return replace(self, hessian=np.eye(self.dim), frequencies=shares)


def all_weights(checkpoint: FMCheckpoint, sensitivity: Sensitivity, tiers: Tiers | None = None) -> list[FieldWeights]:
    """Return the weights of each field, or of each part of it, and what errors in them cost."""
    fields = [
        FieldWeights(
            checkpoint.embeddings_of(field),
            checkpoint.linear[checkpoint.schema.rows(field)],
            sensitivity.frequencies[checkpoint.schema.rows(field)],
            sensitivity.hessians[field],
            float(sensitivity.curvatures[field]),
            sensitivity.negligible,
        )
        for field in range(len(checkpoint.schema))
    ]
    if tiers is None:
        return fields
    of_fields = checkpoint.schema.split(tiers.of)
    return [part for field, of in zip(fields, of_fields, strict=True) for part in split(field, of)]


def split(field: FieldWeights, of: UInt8Array) -> Sequence[FieldWeights]:
    """Return the tiers of a field.

    Args:
        field: the field.
        of: tier of each category, uint8 (cardinality,).
    """
    tiers = int(of.max()) + 1
    return [field] if tiers == 1 else [field.take(np.flatnonzero(of == tier)) for tier in range(tiers)]


@dataclass(frozen=True)
class Subspace:
    """A subspace of a field's embeddings, whitened.

    Attributes:
        start: its first coordinate.
        end: its last coordinate + 1.
        factor: L, float64 (size, size), scaled so that points are of ordinary size.
        scale: what squared distances between whitened points are multiplied by to give δᵀ H δ.
    """

    start: int
    end: int
    factor: Float64Array
    scale: float

    def whiten(self, embeddings: Float32Array) -> Float32Array:
        """Return the whitened sub-vectors of embeddings, float32 (n, size)."""
        own = embeddings[:, self.start : self.end]
        if len(own) == 1:  # a product of a vector adds up in another order
            return self.whiten(np.repeat(embeddings, 2, axis=0))[:1]
        return np.ascontiguousarray(own @ self.factor.astype(np.float32))

    def whiten_rows(self, table: Table, rows: Int64Array) -> Float32Array:
        """Return the whitened sub-vectors of some rows of a table, int64 (n,), float32 (n, size).

        Rows are taken in the order in which they lie, some at a time: all of their coordinates would take more memory.
        """
        found = np.empty((len(rows), self.end - self.start), dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        for first in range(0, len(rows), BLOCK_ROWS):
            some = order[first : first + BLOCK_ROWS]
            found[some] = self.whiten(table[rows[some]])
        return found

    def variance(self, covariance: Float64Array) -> float:
        """Return squared distances of whitened sub-vectors from their mean, from a covariance, float64 (dim, dim)."""
        own = covariance[self.start : self.end, self.start : self.end]
        return max(float(np.einsum("ij,ik,kj->", self.factor, own, self.factor)), 0.0)

    def centroids(self, codewords: Float32Array) -> Float32Array:
        """Return whitened codewords, float32 (k, size): the inverse of ``codewords``."""
        return np.ascontiguousarray(codewords @ self.factor, dtype=np.float32)

    def codewords(self, centroids: Float32Array) -> Float32Array:
        """Return the sub-vectors of whitened centroids, float32 (k, size): the inverse of ``whiten``."""
        vectors = np.linalg.solve(self.factor.T, centroids.T.astype(np.float64)).T
        return np.ascontiguousarray(vectors, dtype=np.float32)


def whitened_subspaces(hessian: Float64Array, subspaces: int) -> list[Subspace]:
    """Return the subspaces of a field by its H_f, float64 (dim, dim); their errors are taken as uncorrelated."""
    scale = float(np.trace(hessian)) / len(hessian)
    return [
        Subspace(start, end, _cholesky(hessian[start:end, start:end] / scale), scale)
        for start, end in subspace_bounds(len(hessian), subspaces)
    ]


def _cholesky(matrix: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
