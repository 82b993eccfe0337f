"""The sum of linear weights in nodes: Σ_i w_i."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.columns import Columns
from fmcompress.export.embeddings import Codes, Sums
from fmcompress.export.graph import Graph
from fmcompress.export.tables import named, scales, stored
from fmcompress.export.words import taken
from fmcompress.fm.quantizer import FLOAT, HALF, INT8


def add_linear(graph: Graph, model: PackedFM, columns: Columns, codes: Mapping[int, Codes], sums: Sums) -> None:
    """Add the linear weights of all columns; arguments are those of ``add_embeddings``."""
    for value_bytes in (HALF, INT8, FLOAT):
        own = [c for c, tier in enumerate(columns.tiers) if tier.linear.value_bytes == value_bytes]
        if own:
            sums.scalars.append(_sum(graph, model, columns, codes, set(own)))


def _sum(graph: Graph, model: PackedFM, columns: Columns, codes: Mapping[int, Codes], own: set[int]) -> str:
    """Return the sum of linear weights that are stored in the same numbers, float32 (batch,)."""
    order, places = _places(graph, columns, codes, own)
    tables = [columns.tiers[column].linear for column in order]
    starts, at = {}, 0
    for table in dict.fromkeys(tables):
        starts[table] = at
        at += table.size
    once = [stored(model, table) for table in starts]
    joined = graph.table(named("linear", tables[0]), np.concatenate([*once, np.zeros(1, once[0].dtype)]))
    places = graph.node("Add", places, graph.constant(np.array([[starts[table]] for table in tables], dtype=np.int64)))
    missing = graph.rows(columns.missing, order, len(columns.tiers))
    places = graph.node("Where", missing, graph.constant(np.int64(at)), places)
    weights = graph.cast(taken(graph, joined, places, len(order)), np.float32)
    if tables[0].scale is not None:
        weights = graph.node("Mul", weights, graph.constant(scales(model, tables)[:, None]))
    return graph.sum(weights, 0)


def _places(graph: Graph, columns: Columns, codes: Mapping[int, Codes], own: set[int]) -> tuple[list[int], str]:
    """Return columns in some order, and the places of their weights in their tables, int64 (columns, batch)."""
    parts, order = [], []
    for subspaces, found in codes.items():
        coded = [c for c in found.columns if c in own and columns.tiers[c].quantizer.linear_codewords > 1]
        if coded:
            of_linear = graph.node("Gather", found.node, graph.constant(np.int64(subspaces)))
            rows = [found.columns.index(column) for column in coded]
            parts.append(graph.cast(graph.rows(of_linear, rows, len(found.columns)), np.int64))
            order += coded
    rest = sorted(own - set(order))
    if rest:
        ids, _ = columns.some(graph, rest)
        steps = np.array([[int(columns.tiers[column].quantizer.linear_raw)] for column in rest], dtype=np.int64)
        parts.append(ids if steps.all() else graph.node("Mul", ids, graph.constant(steps)))
    return order + rest, graph.joined(parts)
