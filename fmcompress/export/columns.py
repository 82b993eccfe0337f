"""Columns of ids in a graph: checked, without missing ones, and one for each tier of a field.

Inside the graph a row of data is a column and each field a row, int64 (columns, batch): what differs from field to
field then is one number for many rows of data, which runtimes are quick with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.layout import FieldLayout, TierLayout, field_layouts
from fmcompress.artifact.packed import PackedFM
from fmcompress.export.graph import Graph
from fmcompress.export.tier_ranks import ranks
from fmcompress.fm.schema import MISSING
from fmcompress.types import Int64Array

WRONG_ID = "an id is out of range, or a token unknown"
"""Name of the node that fails where an id is: runtimes show it."""


@dataclass(frozen=True)
class Columns:
    """What categories a batch looks up: of each tier a column.

    Attributes:
        tiers: where what each column looks up lies; a tier may stand here several times.
        ids: node with the ids in the tiers, 0 where one is missing, int64 (columns, batch).
        missing: node that tells where they are, bool (columns, batch).
    """

    tiers: tuple[TierLayout, ...]
    ids: str
    missing: str

    def some(self, graph: Graph, columns: Sequence[int]) -> tuple[str, str]:
        """Return ids and missing ones of some columns."""
        every = len(self.tiers)
        return graph.rows(self.ids, columns, every), graph.rows(self.missing, columns, every)


def columns_of(graph: Graph, model: PackedFM, ids: str, places: Sequence[int], wrong: str = WRONG_ID) -> Columns:
    """Check ids, int64 (fields, batch), and return their columns; the graph fails where one is out of range.

    Args:
        graph: the graph.
        model: the model.
        ids: node with the ids.
        places: numbers of the fields among those with ids.
        wrong: name of the node that fails.
    """
    schema, chosen = model.schema, list(places)
    missing = _missing(graph, schema.pads[chosen], ids)
    present = graph.node("Where", missing, _checked_zero(graph, schema.id_cardinalities[chosen], ids, wrong), ids)
    own = list(field_layouts(model.header))
    fields = [own[table] for table in schema.tables[chosen]]
    plain = [column for column, field in enumerate(fields) if not field.tier_bytes]
    split = [column for column, field in enumerate(fields) if field.tier_bytes]
    every = len(fields)
    tiers = [tier for column in plain for tier in fields[column].tiers]
    parts = [(graph.rows(present, plain, every), graph.rows(missing, plain, every))] if plain else []
    if split:
        layouts = [fields[column] for column in split]
        tiers += [tier for field in layouts for tier in field.tiers]
        given = graph.rows(present, split, every), graph.rows(missing, split, every)
        parts.append(_split(graph, model, layouts, *given))
    found = [graph.joined(part) for part in zip(*parts, strict=True)]
    return Columns(tuple(tiers), *found)


def _missing(graph: Graph, pads: Int64Array, ids: str) -> str:
    missing = graph.node("Equal", ids, graph.constant(np.int64(MISSING)))
    if not (pads >= 0).any():
        return missing
    return graph.node("Or", missing, graph.node("Equal", ids, graph.constant(pads[:, None])))


def _checked_zero(graph: Graph, cardinalities: Int64Array, ids: str, wrong: str) -> str:
    """Return 0, which whatever uses it gets only if all ids are in range.

    The number of wrong ids is the place of what is gathered from one zero.
    """
    low = graph.node("Less", ids, graph.constant(np.int64(MISSING)))
    high = graph.node("GreaterOrEqual", ids, graph.constant(cardinalities[:, None]))
    return checked(graph, graph.node("Or", low, high), np.int64(0), wrong)


def checked(graph: Graph, wrong: str, number: np.generic, name: str) -> str:
    """Return a number, a node of any dtype (1, 1); the graph fails, in a node of this name, where something is wrong.

    Args:
        graph: the graph.
        wrong: node that tells where, bool (…, batch).
        number: what comes out otherwise.
        name: what has gone wrong.
    """
    count = graph.node("ReduceSum", graph.cast(wrong, np.float32), keepdims=1)
    return graph.node("Gather", graph.constant(np.array([number])), graph.cast(count, np.int64), name=name)


def _split(graph: Graph, model: PackedFM, fields: Sequence[FieldLayout], ids: str, missing: str) -> tuple[str, str]:
    """Return ids in the tiers of fields, 0 where missing, and where they are; in a row all tiers but one are."""
    tier, place = ranks(graph, model, fields, ids)
    sizes = [len(field.tiers) for field in fields]
    of = np.repeat(np.arange(len(fields)), sizes).tolist()
    numbers = np.array([number for size in sizes for number in range(size)], dtype=np.int64)
    tiers, places, absent = (graph.rows(value, of, len(fields)) for value in (tier, place, missing))
    elsewhere = graph.node("Not", graph.node("Equal", tiers, graph.constant(numbers[:, None])))
    absent = graph.node("Or", elsewhere, absent)
    return graph.node("Where", absent, graph.constant(np.int64(0)), places), absent
