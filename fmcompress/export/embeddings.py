"""The sums of embeddings in nodes: Σ_i q_i and −½ Σ_i ‖q_i‖², whatever way the tiers are stored in.

A codebook has one more column, −½‖codeword‖², which is summed along with the others, as in ``serve.scorer``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fmcompress.artifact.layout import TierLayout
from fmcompress.artifact.packed import PackedFM
from fmcompress.export.columns import Columns
from fmcompress.export.graph import Graph
from fmcompress.export.tables import named, scales, stored, vectors

_SMALL_TIER = 4096
"""Raw embeddings of up to this many categories become fp32 when the graph is loaded, others, and int8, when used."""


@dataclass
class Sums:
    """Nodes to be added up.

    Attributes:
        vectors: each float32 (batch, dim).
        scalars: each float32 (batch,).
    """

    vectors: list[str] = field(default_factory=list)
    scalars: list[str] = field(default_factory=list)


def add_embeddings(graph: Graph, model: PackedFM, columns: Columns, codes: Mapping[int, Codes], sums: Sums) -> None:
    """Add the embeddings of all columns.

    Args:
        graph: the graph.
        model: the model.
        columns: what is looked up.
        codes: by number of subspaces, the codes of columns that have some.
        sums: what is added to.
    """
    coded = {column for own in codes.values() for column in own.columns}
    rows: dict[int, list[int]] = {}
    plain: dict[int, list[int]] = {}
    for column, tier in enumerate(columns.tiers):
        if tier.quantizer.raw and (tier.tables[0].scale is not None or tier.cardinality > _SMALL_TIER):
            rows.setdefault(tier.tables[0].value_bytes, []).append(column)
        elif tier.quantizer.raw or column not in coded:
            plain.setdefault(len(tier.tables), []).append(column)
    for own in rows.values():
        _add_rows(graph, model, columns, own, sums)
    for subspaces, own in plain.items():
        ids, missing = columns.some(graph, own)
        steps = np.array([[int(columns.tiers[column].quantizer.raw)] for column in own], dtype=np.int64)
        places = graph.cast(graph.node("Mul", ids, graph.constant(steps)), np.int32)
        tiers = [columns.tiers[column] for column in own]
        _add_codewords(graph, model, f"vectors_{subspaces}", tiers, places, missing, sums)
    for subspaces, found in codes.items():
        if subspaces:
            _, missing = columns.some(graph, found.columns)
            tiers = [columns.tiers[column] for column in found.columns]
            own_codes = found.first(graph, subspaces)
            _add_codewords(graph, model, f"codebooks_{subspaces}", tiers, own_codes, missing, sums)


@dataclass(frozen=True)
class Codes:
    """The codes of some columns.

    Attributes:
        columns: their numbers.
        node: int32 (number, columns, batch).
        number: of the codes of each.
    """

    columns: list[int]
    node: str
    number: int

    def first(self, graph: Graph, number: int) -> str:
        """Return the first codes."""
        return self.node if number == self.number else graph.sliced(self.node, 0, 0, number)


def _add_codewords(
    graph: Graph, model: PackedFM, name: str, tiers: Sequence[TierLayout], codes: str, missing: str, sums: Sums
) -> None:
    """Add what codes name.

    Args:
        graph: the graph.
        model: the model.
        name: what the initializers are named after.
        tiers: of each column, all with the same number of subspaces.
        codes: node, int32 (subspaces or 1, columns, batch), or (columns, batch) for all subspaces.
        missing: node, bool (columns, batch).
        sums: what is added to.
    """
    subspaces, dim = len(tiers[0].tables), model.header.dim
    table, starts, null = vectors(graph, model, name, [own for tier in tiers for own in tier.tables])
    places = np.array([[[starts[tier.tables[d]]] for tier in tiers] for d in range(subspaces)], dtype=np.int32)
    places_node = graph.node("Add", codes, graph.constant(places))
    places_node = graph.node("Where", missing, graph.constant(np.int32(null)), places_node)
    width = -(-dim // subspaces)
    found = graph.node("Gather", table, places_node)
    if subspaces == 1:
        # A sum over a second axis, behind a first one of size 1, takes onnxruntime 15 times as long.
        found = graph.sum(graph.reshape(found, len(tiers), -1, width + 1), 0)
        sums.scalars.append(graph.reshape(graph.sliced(found, 1, width, width + 1), -1))
        sums.vectors.append(graph.sliced(found, 1, 0, width))
        return
    found = graph.sum(found, 1)
    sums.scalars.append(graph.sum(graph.sliced(found, 2, width, width + 1), 0, 2))
    sums.vectors.append(_in_order(graph, found, dim, subspaces))


def _in_order(graph: Graph, found: str, dim: int, subspaces: int) -> str:
    """Return coordinates (batch, dim) from those of each subspace, (subspaces, batch, columns)."""
    size, larger = divmod(dim, subspaces)
    parts = []
    for first, end, columns in ((0, larger, size + 1), (larger, subspaces, size)):
        if first == end:
            continue
        own = found if end - first == subspaces else graph.sliced(found, 0, first, end)
        own = graph.node("Transpose", graph.sliced(own, 2, 0, columns), perm=[1, 0, 2])
        parts.append(graph.reshape(own, -1, (end - first) * columns))
    return graph.joined(parts, 1)


def _add_rows(graph: Graph, model: PackedFM, columns: Columns, own: Sequence[int], sums: Sums) -> None:
    """Add raw embeddings, which stay as they are stored until they are looked up."""
    tables = [columns.tiers[column].tables[0] for column in own]
    once = dict.fromkeys(tables)
    starts, rows = {}, 0
    for table in once:
        starts[table] = rows
        rows += table.shape[0]
    null = np.zeros((1, model.header.dim), stored(model, tables[0]).dtype)
    joined = graph.table(named("rows", tables[0]), np.concatenate([*(stored(model, table) for table in once), null]))
    ids, missing = columns.some(graph, own)
    places = graph.node("Add", ids, graph.constant(np.array([[starts[table]] for table in tables], dtype=np.int64)))
    places = graph.node("Where", missing, graph.constant(np.int64(rows)), places)
    found = graph.cast(graph.node("Gather", joined, places), np.float32)
    if tables[0].scale is not None:
        found = graph.node("Mul", found, graph.constant(scales(model, tables)[:, None, None]))
    sums.vectors.append(graph.sum(found, 0))
    squares = graph.sum(graph.node("Mul", found, found), 0, 2)
    sums.scalars.append(graph.node("Mul", squares, graph.constant(np.float32(-0.5))))
