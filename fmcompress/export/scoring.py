"""The formula of a factorization machine in nodes, from ids and values to predictions.

logit = w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²,   and what numeric fields add, see ``NumericWeights``
"""

from __future__ import annotations

import math

import numpy as np

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.columns import Columns, checked, columns_of
from fmcompress.export.embeddings import Codes, Sums, add_embeddings
from fmcompress.export.graph import Graph
from fmcompress.export.linear import add_linear
from fmcompress.export.words import Streams

WRONG_VALUE = "a value is infinite"
"""Name of the node that fails where a value is: runtimes show it."""


def add_scoring(graph: Graph, model: PackedFM, ids: str, values: str | None, output: str) -> None:
    """Add all that turns rows into predictions.

    Args:
        graph: the graph.
        model: the model.
        ids: node with category ids, -1 or PAD where one is missing, int64 (ids, batch).
        values: node with the values of the numeric fields, NaN where one is missing, float32 (batch, numeric fields);
            None where there are no such fields.
        output: name of the predictions, float32 (batch,).
    """
    columns = columns_of(graph, model, ids)
    codes = _codes(graph, model, columns)
    sums = Sums()
    add_embeddings(graph, model, columns, codes, sums)
    add_linear(graph, model, columns, codes, sums)
    vectors = graph.added(sums.vectors)
    squares = graph.node("ReduceSumSquare", vectors, graph.constant([1]), keepdims=0)
    halves = graph.node("Mul", squares, graph.constant(np.float32(0.5)))
    logits = graph.added([*sums.scalars, halves, graph.constant(np.float32(model.bias))])
    if values is not None:
        logits = graph.node("Add", logits, _numeric(graph, model, values, vectors))
    _add_link(graph, model, logits, output)


def _codes(graph: Graph, model: PackedFM, columns: Columns) -> dict[int, Codes]:
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


def _numeric(graph: Graph, model: PackedFM, values: str, vectors: str) -> str:
    """Return what numeric fields add to logits, float32 (batch,), computed in float64.

    Args:
        graph: the graph.
        model: the model.
        values: node with their values, float32 (batch, numeric fields).
        vectors: node with Σ_i q_i of the categories, float32 (batch, dim).
    """
    zero = checked(graph, graph.node("IsInf", values), np.float32(0), WRONG_VALUE)
    present = graph.node("Where", graph.node("IsNaN", values), zero, values)
    x = graph.cast(present, np.float64)
    linear = graph.cast(graph.table("numeric_linear", model.numeric.linear.reshape(-1, 1)), np.float64)
    parts = [graph.reshape(graph.node("MatMul", x, linear), -1)]
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
