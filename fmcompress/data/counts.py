"""Category counts: in how many rows of the data each category is active."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.data.rows import Rows


def count_categories(rows: Rows) -> npt.NDArray[np.int64]:
    """Count how often each category is active, int64 (categories,), in one pass.

    Fields that share a table count together: a category may be active in several of them.
    """
    schema = rows.schema
    counts = np.zeros(schema.categories, dtype=np.int64)
    for batch in rows.batches():
        for column, field in enumerate(schema.tables.tolist()):
            ids = batch.ids[:, column]
            counts[schema.rows(field)] += np.bincount(ids[ids >= 0], minlength=schema.fields[field].cardinality)
    return counts
