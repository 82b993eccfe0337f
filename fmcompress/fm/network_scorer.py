"""Predictions of a DeepFM or an NFM that is not compressed; numpy alone does it."""

from collections.abc import Mapping

import numpy as np

from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import Network, vectors_of
from fmcompress.fm.scored_rows import NetworkRows, network_rows, numeric_inputs
from fmcompress.types import AnyArray, Float32Array, Int32Array, Int64Array

_CHUNK_ROWS = 4096


class NetworkScorer:
    """Scores rows with a checkpoint that has dense layers; its arrays are looked up as they are at the time."""

    def __init__(self, checkpoint: FMCheckpoint, network: Network) -> None:
        """Keep the model.

        Args:
            checkpoint: the factorization machine.
            network: the dense layers on top of it.
        """
        self._model = checkpoint
        self._network = network
        self._link = checkpoint.link_function

    def refresh(self, rows: Int64Array, linear: Float32Array) -> None:
        """Take note that weights of some categories have changed in place: there is nothing to do.

        Args:
            rows: of the tables, int64 (n,).
            linear: their linear weights, float32 (n,).
        """

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
            threads: of no use here: numpy has its own number of them.
        """
        logits = np.empty(len(ids), dtype=np.float32)
        for first in range(0, len(ids), _CHUNK_ROWS):
            chunk = slice(first, first + _CHUNK_ROWS)
            own = {name: bag.take(chunk) for name, bag in (bags or {}).items()}
            logits[chunk] = self.score(ids[chunk], None if values is None else values[chunk], own).logits
        return self._link.predict(logits)

    def score(
        self, ids: Int32Array, values: Float32Array | None = None, bags: Mapping[str, Bag] | None = None
    ) -> NetworkRows:
        """Return rows with their logits.

        Args:
            ids: checked category ids, -1 where a value is missing, integers (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where there are none.
            bags: values of fields with several in a row, by name; their ids are -1.

        Raises:
            DataError: there are numeric fields, but no values.
        """
        schema, model, found = self._model.schema, self._model, bags or {}
        vectors = np.zeros((len(ids), vectors_of(schema), model.dim), dtype=np.float32)
        scalars = np.full(len(ids), model.bias, dtype=np.float32)
        for column, (name, offset) in enumerate(zip(schema.id_names, schema.id_offsets.tolist(), strict=True)):
            if name in found:
                bag = found[name]
                rows = bag.ids + np.int64(offset)
                embedding, linear = bag.coefficients(schema.poolings[name])
                vectors[:, column] = sums_by_row(bag, embedding[:, None] * model.embeddings[rows])
                scalars += sums_by_row(bag, linear * model.linear[rows])
                continue
            present = ids[:, column] >= 0
            rows = np.where(present, ids[:, column] + np.int64(offset), 0)
            vectors[:, column] = model.embeddings[rows] * present[:, None]
            scalars += model.linear[rows] * present
        raw = np.empty((len(ids), 0), dtype=np.float32)
        if len(model.numeric):
            if values is None:
                raise DataError(f"values of {len(model.numeric)} numeric fields are missing")
            own, linear, raw = numeric_inputs(schema, model.numeric, values)
            vectors[:, len(schema.id_names) :] = own
            scalars += linear
        return network_rows(self._network, vectors, scalars, raw)


def sums_by_row(bag: Bag, terms: AnyArray) -> AnyArray:
    """Return the sum over the values of each row, (rows, …) of any dtype, of terms of each value, (values, …)."""
    found = np.zeros((len(bag), *terms.shape[1:]), dtype=terms.dtype)
    filled = bag.counts > 0
    if filled.any():
        found[filled] = np.add.reduceat(terms, bag.starts[:-1][filled])
    return found
