"""The embeddings of a quantized model as a table that is decoded as it is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmcompress.fm.disk_table import DiskTable
from fmcompress.fm.quantized_fm import QuantizedField, decode
from fmcompress.fm.tiers import Tiers
from fmcompress.types import Float32Array, Int64Array


class DecodedTable(DiskTable):
    """The decoded embeddings of all categories, in the order of the fields' tables; tiers may be replaced meanwhile."""

    def __init__(self, fields: Sequence[QuantizedField], tiers: Tiers, dim: int) -> None:
        """Take the tiers, field by field.

        Args:
            fields: the quantized tiers; those of a list that changes are looked up as they are then.
            tiers: how the fields are split.
            dim: embedding size l.
        """
        super().__init__(tiers.schema.categories, dim)
        self._fields, self._tiers = fields, tiers
        self._ends = np.cumsum(tiers.schema.cardinalities)

    @property
    def longest(self) -> float:
        """All of it is finite, as what it was made of is."""
        return 0.0

    def read_rows(self, start: int, stop: int) -> Float32Array:
        """Return rows, float32 (stop - start, dim)."""
        return self.gather(np.arange(start, stop))

    def gather(self, rows: Int64Array) -> Float32Array:
        """Return rows, int64 (n,), float32 (n, dim)."""
        found = np.empty((len(rows), self.shape[1]), dtype=np.float32)
        fields = np.searchsorted(self._ends, rows, side="right")
        ids = (rows - self._tiers.schema.offsets[fields]).astype(np.int32)
        of_rows, places = self._tiers.places(fields, ids)
        for tier in np.unique(of_rows).tolist():
            own, field = np.flatnonzero(of_rows == tier), self._fields[tier]
            raw = field.quantizer.raw
            found[own] = field.tables[0][places[own]] if raw else decode(field.tables, field.codes[places[own]])
        return found
