"""Dense layers for numpy alone: the embedding of each field is decoded by itself, and the network takes them."""

from collections.abc import Mapping, Sequence

import numpy as np

from fmcompress.artifact.layout import FieldLayout
from fmcompress.artifact.packed import PackedFM
from fmcompress.fm.bags import Bag
from fmcompress.fm.network import Network, vectors_of
from fmcompress.fm.network_scorer import sums_by_row
from fmcompress.fm.scored_rows import network_rows, numeric_inputs
from fmcompress.serve.numpy_bags import FieldTable
from fmcompress.types import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array


class NetworkFields:
    """The fields of a model with a network on top of them."""

    def __init__(self, model: PackedFM, network: Network, words: UInt64Array, layouts: Sequence[FieldLayout]) -> None:
        """Prepare their tables, each once.

        Args:
            model: the model.
            network: its dense layers.
            words: its codes, uint64 (words,), see ``as_words``.
            layouts: of each table.
        """
        self._model = model
        self._network = network
        self._tables = [FieldTable(model, words, layout) for layout in layouts]

    def logits(
        self, ids: Int64Array, missing: BoolArray | None, bags: Mapping[str, Bag], values: Float64Array | None
    ) -> Float32Array:
        """Return the logits of rows, float32 (rows,).

        Args:
            ids: of categories, int64 (rows, ids).
            missing: which of them are missing, bool (rows, ids); None where none is.
            bags: of each field that may have several values in a row, by name.
            values: of the numeric fields, float64 (rows, numeric fields); None where there are none.
        """
        schema, numeric = self._model.schema, self._model.numeric
        vectors = np.zeros((len(ids), vectors_of(schema), self._model.header.dim), dtype=np.float32)
        scalars = np.full(len(ids), self._model.bias, dtype=np.float32)
        for column, (name, table) in enumerate(zip(schema.id_names, schema.tables.tolist(), strict=True)):
            if name in bags:
                bag = bags[name]
                embedding, linear = bag.coefficients(schema.poolings[name])
                of_values, weights = self._tables[table].find(bag.ids.astype(np.int64))
                vectors[:, column] = sums_by_row(bag, of_values * embedding[:, None])
                scalars += sums_by_row(bag, weights * linear)
                continue
            absent = None if missing is None else missing[:, column]
            own = ids[:, column] if absent is None else np.where(absent, 0, ids[:, column])
            found, weights = self._tables[table].find(own)
            if absent is not None:
                found[absent], weights[absent] = 0, 0
            vectors[:, column] = found
            scalars += weights
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.empty((len(ids), 0)) if values is None else values
            own, of_numeric, raw = numeric_inputs(schema, numeric, x)
            vectors[:, len(schema.id_names) :] = own
            scalars = (scalars + of_numeric).astype(np.float32)
            return network_rows(self._network, vectors, scalars, raw.astype(np.float32)).logits
