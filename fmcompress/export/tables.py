"""Tables of vectors as initializers, in the numbers in which the artifact stores them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fmcompress.artifact.layout import TableLayout, stored_numbers
from fmcompress.artifact.packed import PackedFM
from fmcompress.export.graph import Graph
from fmcompress.fm.quantizer import FLOAT, HALF, INT8
from fmcompress.types import AnyArray

_SUFFIXES = {INT8: "_int8", HALF: "", FLOAT: "_fp32"}


def stored(model: PackedFM, table: TableLayout) -> AnyArray:
    """Return the numbers of a table, float16, int8 or float32 of its shape."""
    return stored_numbers(table, model.values, model.codes)


def named(name: str, table: TableLayout) -> str:
    """Return the name of an initializer with numbers that are stored as those of a table."""
    return name + _SUFFIXES[table.value_bytes]


def scales(model: PackedFM, tables: Sequence[TableLayout]) -> AnyArray:
    """Return the scales of tables in int8, float32 (tables,)."""
    return model.values[[table.scale for table in tables if table.scale is not None]].astype(np.float32)


def vectors(
    graph: Graph, model: PackedFM, name: str, tables: Sequence[TableLayout]
) -> tuple[str, dict[TableLayout, int], int]:
    """Return tables as one, float32 (rows + 1, columns + 1), with −½‖vector‖² in its last column.

    Runtimes compute it once, when they load the graph. Its last row is zeros: that of missing values.

    Args:
        graph: the graph.
        model: the model.
        name: what the initializers are named after.
        tables: (rows, columns) each, some of them with a column less than others.

    Returns:
        The node, where each table begins, and the number of the last row.
    """
    width = max(table.shape[1] for table in tables)
    starts: dict[TableLayout, int] = {}
    parts, rows = [], 0
    for number, own in enumerate(_alike(tables)):
        for table in own:
            starts[table] = rows
            rows += table.shape[0]
        parts.append(_decoded(graph, model, f"{name}_{number}", own, width))
    joined = graph.joined(parts)
    squares = graph.node("ReduceSumSquare", joined, graph.constant([1]), keepdims=1)
    halves = graph.node("Mul", squares, graph.constant(np.float32(-0.5)))
    return graph.node("Pad", graph.joined([joined, halves], 1), graph.constant([0, 0, 1, 0])), starts, rows


def _alike(tables: Sequence[TableLayout]) -> list[list[TableLayout]]:
    """Return tables that are decoded together, each once: those in int8 have the same shape, for the sake of scales."""
    found: dict[tuple[int, ...], dict[TableLayout, None]] = {}
    for table in tables:
        alike = table.value_bytes, *(table.shape[1:] if table.scale is None else table.shape)
        found.setdefault(alike, {})[table] = None
    return [list(own) for own in found.values()]


def _decoded(graph: Graph, model: PackedFM, name: str, tables: Sequence[TableLayout], width: int) -> str:
    """Return tables as one, float32 (rows, width)."""
    columns = tables[0].shape[1]
    if tables[0].scale is None:
        numbers = np.concatenate([stored(model, table) for table in tables])
        found = graph.cast(graph.table(name, numbers), np.float32)
    else:
        numbers = np.stack([stored(model, table) for table in tables])
        found = graph.cast(graph.table(name, numbers), np.float32)
        found = graph.node("Mul", found, graph.constant(scales(model, tables)[:, None, None]))
        found = graph.reshape(found, -1, columns)
    return found if columns == width else graph.node("Pad", found, graph.constant([0, 0, 0, width - columns]))
