"""Small Parquet files, and one of libFM's own, for the tests of the data."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fmcompress.data.summary import summarize
from fmcompress.fm.schema import Schema

GENUINE = Path(__file__).parents[1] / "checkpoints" / "genuine" / "libfm" / "test.libfm"
AB = Schema.of([("a", 10), ("b", 4)])


def write(path, *, row_group_size=None, **columns):
    """Write columns, given as lists or arrays, as a Parquet file, and return its path."""
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def collected(batches):
    """Return ids and labels of all batches, as lists."""
    found = list(batches)
    return [row for batch in found for row in batch.ids.tolist()], [x for batch in found for x in batch.labels.tolist()]


class RowsInMemory:
    """Stands for rows of files that are read at once: what has ``schema``, ``rows`` and ``batches``."""

    before = 0

    def own_part(self):
        return self

    def sizes_in_order(self, order, parts=1):
        return np.array([[self.rows]])

    @property
    def summary(self):
        return summarize(self.schema, self.batches())
