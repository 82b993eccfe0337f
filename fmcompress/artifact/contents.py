"""What is stored of each field: to tell fields that have changed from those that have not."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import FieldLayout, TableLayout, field_layouts
from fmcompress.artifact.model import CompressedFM

Pieces = list[npt.NDArray[np.generic]]


def contents(model: CompressedFM) -> dict[str, Pieces]:
    """Return what is stored of each field, by name: views, in the order of the bytes; nothing of those that share."""
    found: dict[str, Pieces] = {
        field.name: list(_pieces(model, layout))
        for field, layout in zip(model.schema.fields, field_layouts(model.header), strict=True)
    }
    numeric = zip(model.schema.numeric, model.numeric.linear, model.numeric.embeddings, strict=True)
    found |= {field.name: [np.atleast_1d(weight), embedding] for field, weight, embedding in numeric}
    return {field.name: found.get(field.name, []) for field in model.schema.all_fields}


def same(one: Pieces, other: Pieces) -> bool:
    """Return whether the contents of two fields are the same."""
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def _pieces(model: CompressedFM, layout: FieldLayout) -> Iterator[npt.NDArray[np.generic]]:
    yield model.codes[layout.tier_start :][: layout.tier_bytes]
    for part in layout.parts:
        for table in (*part.tables, part.linear):
            yield from _table(model, table)
        yield model.codes[part.code_start :][: part.code_bytes]


def _table(model: CompressedFM, table: TableLayout) -> Iterator[npt.NDArray[np.generic]]:
    if table.scale is None:
        yield model.values[table.rows]
    else:
        yield model.codes[table.rows]
        yield model.values[table.scale : table.scale + 1]
