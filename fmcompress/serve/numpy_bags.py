"""Fields with several values in a row for numpy alone: their values are looked up, and pooled row by row.

Of a row's terms q in some order, each adds S · q to the logit and then q to S, with S the sum of those before it. So no
squares are subtracted from each other, which would cancel where weights are large.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmcompress.artifact.layout import FieldLayout
from fmcompress.artifact.packed import PackedFM
from fmcompress.fm.bags import Bag
from fmcompress.serve.bit_streams import TierRanks
from fmcompress.serve.field_groups import Sums, groups_of
from fmcompress.types import AnyArray, Float32Array, Float64Array, Int64Array, UInt64Array

_CHUNK_VALUES = 16_384


class PooledFields:
    """The fields of a model that may have several values in a row; their columns of ids are bags of one."""

    def __init__(self, model: PackedFM, words: UInt64Array, layouts: Sequence[FieldLayout]) -> None:
        """Prepare their tables, each once.

        Args:
            model: the model.
            words: its codes, uint64 (words,), see ``as_words``.
            layouts: of each column of ids.
        """
        self._schema = model.schema
        self.columns = {name: model.schema.id_names.index(name) for name in model.schema.poolings}
        tables = {name: int(model.schema.tables[column]) for name, column in self.columns.items()}
        found = {tables[name]: FieldTable(model, words, layouts[column]) for name, column in self.columns.items()}
        self._tables = {name: found[table] for name, table in tables.items()}

    def add(self, name: str, bag: Bag, sums: Float64Array, logits: Float64Array) -> None:
        """Add what the values of a field contribute.

        Args:
            name: of the field.
            bag: its values, none of which is missing.
            sums: S, float64 (rows, dim); changed in place.
            logits: of the same rows, float64 (rows,); changed in place.
        """
        pooling, rows = self._schema.poolings[name], bag.rows
        embedding, linear = bag.coefficients(pooling)
        pooled, squares = np.zeros_like(sums), np.zeros_like(logits)
        for start in range(0, len(rows), _CHUNK_VALUES):
            part = slice(start, start + _CHUNK_VALUES)
            vectors, weights = self._tables[name].find(bag.ids[part].astype(np.int64))
            terms = vectors * embedding[part, None].astype(np.float64)
            _add(pooled, rows[part], terms)
            _add(logits, rows[part], weights * linear[part].astype(np.float64))
            if pooling.each:
                _add(squares, rows[part], np.einsum("vl,vl->v", terms, terms))
        logits += np.einsum("rl,rl->r", sums, pooled)
        if pooling.each:
            logits += 0.5 * (np.einsum("rl,rl->r", pooled, pooled) - squares)
        sums += pooled


class FieldTable:
    """A table of a field, whose categories are looked up by themselves."""

    def __init__(self, model: PackedFM, words: UInt64Array, layout: FieldLayout) -> None:
        """Prepare it.

        Args:
            model: the model.
            words: its codes, uint64 (words,), see ``as_words``.
            layout: of the table.
        """
        self._dim = model.header.dim
        self._tiers = TierRanks(words, [layout]) if layout.tier_bytes else None
        self._groups = groups_of(model, words, layout.tiers)

    def find(self, ids: Int64Array) -> tuple[Float32Array, Float32Array]:
        """Return embeddings, float32 (values, dim), and linear weights, float32 (values,), of ids, int64 (values,)."""
        columns, missing = ids[:, None], None
        if self._tiers is not None:
            columns, missing = self._tiers.split(columns, None)
        sums = Sums(np.zeros((len(ids), self._dim), np.float32), np.zeros(len(ids), np.float32))
        for group in self._groups:
            group.add(columns, missing, sums)
        halves: Float32Array = np.float32(0.5) * np.einsum("vl,vl->v", sums.vectors, sums.vectors)
        return sums.vectors, sums.scalars + halves


def _add(to: Float64Array, rows: Int64Array, terms: AnyArray) -> None:
    """Add up terms, numbers (values, …), row by row; ``rows`` rises, int64 (values,)."""
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    to[rows[firsts]] += np.add.reduceat(terms, firsts, axis=0)
