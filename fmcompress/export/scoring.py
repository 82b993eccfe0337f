"""The formula of a factorization machine in nodes, from ids and values to predictions.

logit = w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²,   and what bags and numeric fields add, see ``NumericWeights``
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.bags import Values, add_bags
from fmcompress.export.codes import codes_of
from fmcompress.export.columns import checked, columns_of
from fmcompress.export.embeddings import Sums, add_embeddings
from fmcompress.export.graph import Graph
from fmcompress.export.linear import add_linear
from fmcompress.export.networks import NumericNodes, network_logits

WRONG_VALUE = "a value is infinite"
"""Name of the node that fails where a value is: runtimes show it."""


@dataclass(frozen=True)
class RowInputs:
    """Nodes with what rows are made of.

    Attributes:
        ids: category ids of fields with one value at most, -1 or PAD where one is missing, int64 (fields, batch); None
            where there are no such fields.
        columns: numbers of these fields among those with ids.
        bags: the values of other fields.
        values: of the numeric fields, NaN where one is missing, float32 (batch, numeric fields); None where there are
            no such fields.
    """

    ids: str | None
    columns: tuple[int, ...]
    bags: tuple[Values, ...]
    values: str | None


def add_scoring(graph: Graph, model: PackedFM, rows: RowInputs, output: str) -> None:
    """Add all that turns rows into predictions.

    Args:
        graph: the graph.
        model: the model.
        rows: what rows are made of.
        output: name of the predictions, float32 (batch,).
    """
    network = model.network
    if network is None:
        logits = _logits(graph, model, rows)
    else:
        bags = [*rows.bags, *_bags_of_one(graph, rows, range(len(rows.columns)))]
        numeric = None if rows.values is None else _numeric_nodes(graph, model, rows.values)
        logits = network_logits(graph, model, network, bags, numeric)
    _add_link(graph, model, logits, output)


def _logits(graph: Graph, model: PackedFM, rows: RowInputs) -> str:
    """Return the logits of a factorization machine alone, float32 (batch,)."""
    # A table that is looked up for bags is looked up there alone, so that it is in the graph once.
    tables = model.schema.tables
    elsewhere = {int(tables[own.column]) for own in rows.bags}
    here = [place for place, column in enumerate(rows.columns) if tables[column] not in elsewhere]
    there = [place for place in range(len(rows.columns)) if place not in here]
    parts, vectors = [], None
    if rows.ids is None or not here:
        parts.append(graph.constant(np.float32(model.bias)))
    else:
        own = graph.rows(rows.ids, here, len(rows.columns))
        vectors, parts = _plain(graph, model, own, [rows.columns[place] for place in here])
    bags = [*rows.bags, *_bags_of_one(graph, rows, there)]
    if bags:
        vectors, added = add_bags(graph, model, bags, vectors)
        parts += added
    logits = graph.added(parts)
    if rows.values is not None and vectors is not None:
        logits = graph.node("Add", logits, _numeric(graph, model, rows.values, vectors))
    return logits


def _bags_of_one(graph: Graph, rows: RowInputs, places: Iterable[int]) -> list[Values]:
    """Return fields with one value at most as if they could have several."""
    found = []
    for place in places:
        single = graph.rows(rows.ids or "", [place], len(rows.columns))
        found.append(Values(rows.columns[place], graph.turned(single)))
    return found


def _plain(graph: Graph, model: PackedFM, ids: str, places: Sequence[int]) -> tuple[str, list[str]]:
    """Return S of fields with one value at most, float32 (batch, dim), and what their logits are the sum of."""
    columns = columns_of(graph, model, ids, places)
    codes = codes_of(graph, model, columns)
    sums = Sums()
    add_embeddings(graph, model, columns, codes, sums)
    add_linear(graph, model, columns, codes, sums)
    vectors = graph.added(sums.vectors)
    squares = graph.node("ReduceSumSquare", vectors, graph.constant([1]), keepdims=0)
    halves = graph.node("Mul", squares, graph.constant(np.float32(0.5)))
    return vectors, [*sums.scalars, halves, graph.constant(np.float32(model.bias))]


def _numeric(graph: Graph, model: PackedFM, values: str, vectors: str) -> str:
    """Return what numeric fields add to logits, float32 (batch,), computed in float64.

    Args:
        graph: the graph.
        model: the model.
        values: node with their values, float32 (batch, numeric fields).
        vectors: node with Σ_i q_i of the categories, float32 (batch, dim).
    """
    x = _present(graph, values)
    parts = [_linear_of_numeric(graph, model, x)]
    embedded = [place for place, field in enumerate(model.schema.numeric) if not field.linear_only]
    if embedded:
        if len(embedded) < len(model.numeric):
            x = graph.node("Gather", x, graph.constant(embedded), axis=1)
        v = graph.cast(graph.table("numeric_embeddings", model.numeric.embeddings[embedded]), np.float64)
        own = graph.node("MatMul", x, v)
        norms = graph.sum(graph.node("Mul", v, v), 1)
        squares = graph.node("Mul", graph.node("Mul", x, x), norms)
        pairs = graph.node("Sub", graph.sum(graph.node("Mul", own, own), 1), graph.sum(squares, 1))
        both = graph.sum(graph.node("Mul", graph.cast(vectors, np.float64), own), 1)
        parts += [both, graph.node("Mul", pairs, graph.constant(np.float64(0.5)))]
    return graph.cast(graph.added(parts), np.float32)


def _present(graph: Graph, values: str) -> str:
    """Return values with 0 for missing ones, float64 (batch, numeric fields)."""
    zero = checked(graph, graph.node("IsInf", values), np.float32(0), WRONG_VALUE)
    return graph.cast(graph.node("Where", graph.node("IsNaN", values), zero, values), np.float64)


def _linear_of_numeric(graph: Graph, model: PackedFM, x: str) -> str:
    """Return Σ_j x_j w_j, float64 (batch,)."""
    linear = graph.cast(graph.table("numeric_linear", model.numeric.linear.reshape(-1, 1)), np.float64)
    return graph.reshape(graph.node("MatMul", x, linear), -1)


def _numeric_nodes(graph: Graph, model: PackedFM, values: str) -> NumericNodes:
    """Return what a network takes of numeric fields; arguments are those of ``_numeric``."""
    x = _present(graph, values)
    linear = graph.cast(_linear_of_numeric(graph, model, x), np.float32)
    present, vectors = graph.cast(x, np.float32), []
    for place, field in enumerate(model.schema.numeric):
        if not field.linear_only:
            embedding = graph.constant(model.numeric.embeddings[place][None])
            vectors.append(graph.node("Mul", graph.sliced(present, 1, place, place + 1), embedding))
    raw = [place for place, field in enumerate(model.schema.numeric) if field.linear_only]
    taken = graph.node("Gather", present, graph.constant(raw), axis=1) if raw else None
    return NumericNodes(linear, tuple(vectors), taken)


def _add_link(graph: Graph, model: PackedFM, logits: str, output: str) -> None:
    link = model.header.frame.link_function
    if link.name == "sigmoid":
        graph.node("Sigmoid", logits, output=output)
    elif link.name == "probit":
        scaled = graph.node("Mul", logits, graph.constant(np.float32(math.sqrt(0.5))))
        above = graph.node("Add", graph.node("Erf", scaled), graph.constant(np.float32(1)))
        graph.node("Mul", above, graph.constant(np.float32(0.5)), output=output)
    elif link.name == "clip":
        limits = (graph.constant(np.float32(limit)) for limit in (link.low, link.high))
        graph.node("Clip", logits, *limits, output=output)
    else:
        graph.node("Identity", logits, output=output)
