"""Sub-vectors in coordinates in which Euclidean distance is what an error costs.

With the Cholesky factor H = L Lᵀ of a subspace's block of H_f, δᵀ H δ = ‖Lᵀ δ‖². k-means on the rows of
V L minimises the factorization machine's expected loss; its centroids times L⁻¹ are codewords again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.types import Float32Array, Float64Array


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
        return np.ascontiguousarray(embeddings[:, self.start : self.end] @ self.factor.astype(np.float32))

    def codewords(self, centroids: Float32Array) -> Float32Array:
        """Return the sub-vectors of whitened centroids, float32 (k, size): the inverse of ``whiten``."""
        vectors = np.linalg.solve(self.factor.T, centroids.T.astype(np.float64)).T
        return np.ascontiguousarray(vectors, dtype=np.float32)


def whitened_subspaces(hessian: Float64Array, subspaces: int) -> list[Subspace]:
    """Return the subspaces of a field with this H_f; errors in different ones are taken as uncorrelated."""
    scale = float(np.trace(hessian)) / len(hessian)
    return [
        Subspace(start, end, _cholesky(hessian[start:end, start:end] / scale), scale)
        for start, end in subspace_bounds(len(hessian), subspaces)
    ]


def _cholesky(matrix: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
