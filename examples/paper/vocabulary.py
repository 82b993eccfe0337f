"""Vocabularies: which values of a field are categories of their own, and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

RARE = 0
"""Id that all rare values of a field share."""

_MERGE_ENTRIES = 2**18


@dataclass(frozen=True)
class Vocabulary:
    """The categories of a field.

    Attributes:
        kept: keys with an id of their own, from id 1 on, null among them where it stands for missing values.
    """

    kept: pa.Array

    @property
    def cardinality(self) -> int:
        """Number of categories, the rare one included, whether a row has it or not."""
        return len(self.kept) + 1

    def encode(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return ids, int32: ``RARE`` for keys that are not kept."""
        return pc.fill_null(pc.add(pc.index_in(keys, value_set=self.kept), pa.scalar(1, pa.int32())), RARE)


class ValueCounts:
    """Counts of the values of one field, in memory that grows with the number of distinct values."""

    def __init__(self) -> None:
        self._merged = _counts(pa.chunked_array([], pa.int64()))
        self._pending: list[pa.Table] = []
        self._pending_entries = 0

    def add(self, keys: pa.ChunkedArray) -> None:
        """Count more rows."""
        found = _counts(keys)
        self._pending.append(found)
        self._pending_entries += len(found)
        # Waiting until as much is new as is known keeps the work linear in the number of entries.
        if self._pending_entries >= max(_MERGE_ENTRIES, len(self._merged)):
            self._merge()

    def vocabulary(self, min_count: int) -> Vocabulary:
        """Return the values found in at least ``min_count`` rows, the most frequent one last.

        That one has the largest id: it is sure to be among the training rows, so that the largest id there
        tells the number of categories.
        """
        self._merge()
        frequent = self._merged.filter(pc.greater_equal(self._merged["count"], min_count))
        ordered = frequent.sort_by([("count", "ascending"), ("key", "ascending")])
        return Vocabulary(ordered["key"].combine_chunks())

    def _merge(self) -> None:
        groups = pa.concat_tables([self._merged, *self._pending]).group_by("key", use_threads=False)
        self._merged = (
            groups.aggregate([("count", "sum")]).select(["key", "count_sum"]).rename_columns(["key", "count"])
        )
        self._pending = []
        self._pending_entries = 0


def count_values(tables: Iterable[pa.Table], fields: Sequence[str]) -> tuple[dict[str, ValueCounts], int]:
    """Return the counts of each field's values, and the number of rows.

    Args:
        tables: rows, a column of keys per field.
        fields: the columns to count.
    """
    counts = {name: ValueCounts() for name in fields}
    rows = 0
    for table in tables:
        rows += table.num_rows
        for name in fields:
            counts[name].add(table[name])
    return counts, rows


def _counts(keys: pa.ChunkedArray) -> pa.Table:
    found = pc.value_counts(keys)
    return pa.table({"key": found.field("values"), "count": found.field("counts")})
