"""Category counts: in how many rows of the data each category is active."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.data.parquet import ParquetRows


def count_categories(rows: ParquetRows) -> npt.NDArray[np.int64]:
    """Count the rows in which each category is active, int64 (categories,), in one pass."""
    schema = rows.schema
    counts = np.zeros(schema.categories, dtype=np.int64)
    for batch in rows.batches():
        for field in range(len(schema)):
            ids = batch.ids[:, field]
            counts[schema.rows(field)] += np.bincount(ids[ids >= 0], minlength=schema.fields[field].cardinality)
    return counts
