"""Predictions of a factorization machine that is not compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable
from fmcompress.fm.pooling import Pooling
from fmcompress.types import AnyArray, Float32Array, Int32Array, Int64Array


class FMScorer:
    """Scores rows with a checkpoint.

    Uses logit = w_0 + Σ_i (w_i − ½‖v_i‖²) + ½‖Σ_i v_i‖², so that one ``embedding_bag`` does the work; numeric fields,
    and those with several values in a row, add to both sums.
    """

    def __init__(self, checkpoint: FMCheckpoint) -> None:
        """Precompute w_i − ½‖v_i‖² of each category; of a table on the disk, that is done for the rows looked up."""
        self.schema = checkpoint.schema
        self._bias = checkpoint.bias
        self._offsets = checkpoint.schema.id_offsets
        self._numeric = checkpoint.numeric
        self._link = checkpoint.link_function
        self._linear = checkpoint.linear
        self._table = checkpoint.embeddings
        if not isinstance(self._table, DiskTable):
            self._embeddings = torch.from_numpy(self._table)
            self._scalars = _scalars(self._table, checkpoint.linear)

    def refresh(self, rows: Int64Array, linear: Float32Array) -> None:
        """Take note that the embeddings of some categories have changed in place.

        Args:
            rows: of the tables, int64 (n,).
            linear: their linear weights, float32 (n,).
        """
        if not isinstance(self._table, DiskTable):
            self._scalars[rows] = _scalars(self._table[rows], linear)

    def predict(
        self,
        ids: Int32Array,
        values: Float32Array | None = None,
        *,
        bags: Mapping[str, Bag] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, float32 (rows,).

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.
            threads: of no use here: torch has its own number of them.
        """
        logits, _ = self.logits_and_sums(ids, values, bags)
        return self._link.predict(logits)

    def logits_and_sums(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> tuple[Float32Array, Float32Array]:
        """Return logits, float32 (rows,), and the sums S = Σ_i v_i x_i, float32 (rows, dim); see ``predict``.

        Raises:
            DataError: there are numeric fields, but no values.
        """
        present = ids >= 0
        rows = np.where(present, ids + self._offsets, 0)
        weights = None if present.all() else torch.from_numpy(present.astype(np.float32))
        places, embeddings, own = self._looked_up(rows)
        sums = embedding_bag(torch.from_numpy(places), embeddings, mode="sum", per_sample_weights=weights).numpy()
        scalars = (own[places] * present).sum(axis=1, dtype=np.float32)
        for name, bag in (bags or {}).items():
            vectors, added = self.pooled(name, bag)
            sums, scalars = sums + vectors, scalars + added
        logits = self._bias + scalars + 0.5 * np.einsum("rl,rl->r", sums, sums)
        if len(self._numeric):
            if values is None:
                raise DataError(f"values of {len(self._numeric)} numeric fields are missing")
            logits, sums = logits + self._numeric.added(values, sums), sums + values @ self._numeric.embeddings
        return logits.astype(np.float32), sums

    def score(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> FMRows:
        """Return rows with their logits.

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.
        """
        logits, sums = self.logits_and_sums(ids, values, bags)
        return FMRows(self, ids, bags or {}, logits, sums)

    def embeddings_of(self, ids: AnyArray, columns: int | Int64Array) -> Float32Array:
        """Return the embeddings of ids, integers (n,), of one column each, int64 (n,), or all of the same."""
        return self._table[np.maximum(ids, 0) + self._offsets[columns]]

    def pooled(self, name: str, bag: Bag) -> tuple[Float32Array, Float32Array]:
        """Return what a field's bag adds to S, float32 (rows, dim), and to logits beside ½‖S‖², float32 (rows,)."""
        rows, pooling = self._rows(name, bag), self.schema.poolings[name]
        embedding, linear = bag.coefficients(pooling)
        places, embeddings, own = self._looked_up(rows)
        vectors = embedding_bag(
            torch.from_numpy(places),
            embeddings,
            torch.from_numpy(bag.starts[:-1]),
            mode="sum",
            per_sample_weights=torch.from_numpy(embedding),
        ).numpy()
        scalars = linear * self._linear[rows]
        if pooling.each:
            scalars = scalars + embedding * embedding * (own[places] - self._linear[rows])
        added = np.bincount(bag.rows, scalars, len(bag)).astype(np.float32)
        if not pooling.each:
            added -= np.float32(0.5) * np.einsum("rl,rl->r", vectors, vectors)
        return vectors, added

    def _looked_up(self, rows: Int64Array) -> tuple[Int64Array, torch.Tensor, Float32Array]:
        """Return places of rows, int64 (…), in a table that is in memory, this one, and w_i − ½‖v_i‖² of its rows."""
        if not isinstance(self._table, DiskTable):
            return rows, self._embeddings, self._scalars
        rising, places = np.unique(rows, return_inverse=True)
        vectors = self._table.gather(rising)
        return places.reshape(rows.shape), torch.from_numpy(vectors), _scalars(vectors, self._linear[rising])

    def _rows(self, name: str, bag: Bag) -> Int64Array:
        """Return the rows of the tables of a bag's values, int64 (values,)."""
        return np.asarray(bag.ids + self._offsets[self.schema.id_names.index(name)])


@dataclass(frozen=True, eq=False)
class FMRows:
    """Rows scored by a factorization machine; see ``ScoredRows``.

    Attributes:
        scorer: what scored them.
        ids: of their categories, int32 (rows, ids).
        bags: of fields with several values in a row, by name.
        logits: float32 (rows,).
        sums: S, float32 (rows, dim).
    """

    scorer: FMScorer
    ids: Int32Array
    bags: Mapping[str, Bag]
    logits: Float32Array
    sums: Float32Array

    def slopes(self, columns: int | Int64Array) -> Float32Array:
        """Return S − q of one field of each row, see ``ScoredRows``, float32 (rows, dim).

        Args:
            columns: of the field, int64 (rows,) where it is not the same for all; then none has several values.
        """
        if isinstance(columns, int):
            name = self.scorer.schema.id_names[columns]
            if name in self.bags:
                return self.sums - self.scorer.pooled(name, self.bags[name])[0]
        own = self.ids[np.arange(len(self.ids)), columns]
        return np.asarray(self.sums - self.scorer.embeddings_of(own, columns))

    def value_slopes(self, column: int, bag: Bag, pooling: Pooling) -> Float32Array:
        """Return c_j s_q (S − q), or c_j (S − c_j v_j) where each value counts, float32 (values, dim).

        Args:
            column: of the field.
            bag: its values.
            pooling: how they are pooled.
        """
        embedding = bag.coefficients(pooling)[0][:, None]
        if pooling.each:
            return np.asarray(
                embedding * (self.sums[bag.rows] - embedding * self.scorer.embeddings_of(bag.ids, column))
            )
        return np.asarray(embedding * self.slopes(column)[bag.rows])


def _scalars(embeddings: Float32Array, linear: Float32Array) -> Float32Array:
    """Return w_i − ½‖v_i‖² of each category, float32 (categories,)."""
    return np.asarray(linear - 0.5 * np.einsum("il,il->i", embeddings, embeddings))
