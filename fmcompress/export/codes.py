"""The codes of columns of ids in nodes."""

from __future__ import annotations

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.columns import Columns
from fmcompress.export.embeddings import Codes
from fmcompress.export.graph import Graph
from fmcompress.export.words import Streams


def codes_of(graph: Graph, model: PackedFM, columns: Columns) -> dict[int, Codes]:
    """Return the codes of all columns that have some, by the number of subspaces."""
    streams = Streams.of(graph, model, columns.tiers)
    of: dict[int, list[int]] = {}
    for column, tier in enumerate(columns.tiers):
        if tier.quantizer.row_bits:
            of.setdefault(len(tier.quantizer.codewords), []).append(column)
    found = {}
    for subspaces, own in of.items():
        tiers = [columns.tiers[column] for column in own]
        ids, _ = columns.some(graph, own)
        found[subspaces] = Codes(own, *streams.read(graph, tiers, ids))
    return found
