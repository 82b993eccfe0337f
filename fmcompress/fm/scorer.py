"""Predictions of a factorization machine that is not compressed."""

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from fmcompress.errors import DataError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.types import Float32Array, Int32Array, Int64Array


class FMScorer:
    """Scores rows with a checkpoint.

    Uses logit = w_0 + Σ_i (w_i − ½‖v_i‖²) + ½‖Σ_i v_i‖², so that one ``embedding_bag`` does the work; numeric fields
    add to both sums.
    """

    def __init__(self, checkpoint: FMCheckpoint) -> None:
        """Precompute w_i − ½‖v_i‖² of each category."""
        self.schema = checkpoint.schema
        self._bias = checkpoint.bias
        self._offsets = checkpoint.schema.id_offsets
        self._numeric = checkpoint.numeric
        self._link = checkpoint.link_function
        self._embeddings = torch.from_numpy(checkpoint.embeddings)
        self._scalars = _scalars(checkpoint.embeddings, checkpoint.linear)

    def refresh(self, rows: Int64Array, linear: Float32Array) -> None:
        """Take note that the embeddings of some categories have changed in place.

        Args:
            rows: of the tables, int64 (n,).
            linear: their linear weights, float32 (n,).
        """
        self._scalars[rows] = _scalars(self._embeddings.numpy()[rows], linear)

    def predict(self, ids: Int32Array, values: Float32Array | None = None, *, threads: int = 1) -> Float32Array:
        """Return the predictions of rows, float32 (rows,).

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            threads: of no use here: torch has its own number of them.
        """
        logits, _ = self.logits_and_sums(ids, values)
        return self._link.predict(logits)

    def logits_and_sums(self, ids: Int32Array, values: Float32Array | None = None) -> tuple[Float32Array, Float32Array]:
        """Return logits, float32 (rows,), and the sums S = Σ_i v_i x_i, float32 (rows, dim).

        Raises:
            DataError: there are numeric fields, but no values.
        """
        present = ids >= 0
        rows = np.where(present, ids + self._offsets, 0)
        weights = None if present.all() else torch.from_numpy(present.astype(np.float32))
        bags = embedding_bag(torch.from_numpy(rows), self._embeddings, mode="sum", per_sample_weights=weights)
        sums = bags.numpy()
        scalars = (self._scalars[rows] * present).sum(axis=1, dtype=np.float32)
        logits = self._bias + scalars + 0.5 * np.einsum("rl,rl->r", sums, sums)
        if len(self._numeric):
            if values is None:
                raise DataError(f"values of {len(self._numeric)} numeric fields are missing")
            logits, sums = logits + self._numeric.added(values, sums), sums + values @ self._numeric.embeddings
        return logits.astype(np.float32), sums


def _scalars(embeddings: Float32Array, linear: Float32Array) -> Float32Array:
    """Return w_i − ½‖v_i‖² of each category, float32 (categories,)."""
    return np.asarray(linear - 0.5 * np.einsum("il,il->i", embeddings, embeddings))
