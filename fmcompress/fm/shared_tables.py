"""Rows of ids for tables: a field that shares a table has a row of its own.

What works on tables takes one id of each in a row. Where several fields share a table, rows are stacked: below all
rows with the ids of the tables' own fields come all rows with those of the first fields that share one, and so on,
the other tables missing there. What tables contribute to a row is then summed over its ``uses``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.fm.schema import Schema

_MISSING = -1


def uses_of(schema: Schema) -> int:
    """Return how many fields look up the same table, at most; 1 where none is shared."""
    return int(np.bincount(schema.tables).max())


def stacked(ids: npt.NDArray[np.int32], schema: Schema) -> npt.NDArray[np.int32]:
    """Return ids of tables, int32 (uses · rows, fields with tables).

    Args:
        ids: category ids, -1 where one is missing, int32 (rows, ids).
        schema: the fields.
    """
    if not schema.shared:
        return ids
    found = np.full((uses_of(schema), len(ids), len(schema)), _MISSING, dtype=np.int32)
    found[0] = ids[:, : len(schema)]
    place = np.ones(len(schema), dtype=np.int64)
    for column in range(len(schema), len(schema.tables)):
        table = schema.tables[column]
        found[place[table], :, table] = ids[:, column]
        place[table] += 1
    return found.reshape(-1, len(schema))
