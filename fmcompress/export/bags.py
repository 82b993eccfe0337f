"""Fields with several values in a row in nodes: their values are looked up one by one, and pooled row by row.

They come filled up to the same number of values in each row of a batch, as model servers join requests. Of a row's
terms q, one after the other, each adds S · q to the logit and then q to S, the sum of those before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.codes import codes_of
from fmcompress.export.columns import WRONG_ID, checked, columns_of
from fmcompress.export.embeddings import Sums, add_embeddings
from fmcompress.export.graph import Graph
from fmcompress.export.linear import add_linear
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import MISSING

WRONG_WEIGHT = "a weight is not finite"
"""Name of the node that fails where one is, with the field: runtimes show it."""

_ONE_VALUE = Pooling("sum", "sum")


@dataclass(frozen=True)
class Values:
    """The values of a field in a batch.

    Attributes:
        column: number of the field among those with ids.
        ids: node with its ids, -1 or PAD where there is none, int64 (batch, values).
        weights: node with what each is multiplied by, float32 (batch, values); None where that is 1.
    """

    column: int
    ids: str
    weights: str | None = None


@dataclass(frozen=True)
class _Found:
    """What the values of a field are: embeddings, float32 (batch, values, dim), and weights, float32 (batch, values).

    Zeros where there is no value.
    """

    embeddings: str
    linear: str


def add_bags(graph: Graph, model: PackedFM, values: Sequence[Values], vectors: str | None) -> tuple[str, list[str]]:
    """Add the values of fields; those that share a table are looked up together.

    Args:
        graph: the graph.
        model: the model.
        values: of each field.
        vectors: node with S of all other fields, float32 (batch, dim); None where there are none.

    Returns:
        S with these, and what is added to the logits, float32 (batch,) each.
    """
    parts = []
    for together in _by_table(model, values):
        for own, found in zip(together, _looked_up(graph, model, together), strict=True):
            term, linear, pairs = _pooled(graph, model, own, found)
            parts += [linear, *pairs]
            if vectors is not None:
                parts.append(graph.sum(graph.node("Mul", vectors, term), 1))
            vectors = term if vectors is None else graph.node("Add", vectors, term)
    if vectors is None:
        raise ValueError("there is no field")
    return vectors, parts


@dataclass(frozen=True)
class PooledNodes:
    """Nodes with what one field of a row comes to, zeros where it has no value.

    Attributes:
        vector: its embedding, float32 (batch, dim).
        linear: its linear weight, float32 (batch,).
    """

    vector: str
    linear: str


def pooled_by_field(graph: Graph, model: PackedFM, values: Sequence[Values]) -> dict[int, PooledNodes]:
    """Return what each field comes to, by the number of its column; none with values that are a term each."""
    pooled = {}
    for together in _by_table(model, values):
        for own, found in zip(together, _looked_up(graph, model, together), strict=True):
            term, linear, _ = _pooled(graph, model, own, found)
            pooled[own.column] = PooledNodes(term, linear)
    return pooled


def _by_table(model: PackedFM, values: Sequence[Values]) -> list[list[Values]]:
    """Return fields that share a table together."""
    tables: dict[int, list[Values]] = {}
    for own in values:
        tables.setdefault(int(model.schema.tables[own.column]), []).append(own)
    return list(tables.values())


def _looked_up(graph: Graph, model: PackedFM, together: Sequence[Values]) -> list[_Found]:
    flat = graph.joined([graph.reshape(own.ids, 1, -1) for own in together], 1)
    names = ", ".join(model.schema.id_names[own.column] for own in together)
    columns = columns_of(graph, model, flat, [together[0].column], f"{WRONG_ID}: {names}")
    codes = codes_of(graph, model, columns)
    embeddings, linear = Sums(), Sums()
    add_embeddings(graph, model, columns, codes, embeddings)
    add_linear(graph, model, columns, codes, linear)
    both = graph.added(embeddings.vectors), graph.added(linear.scalars)
    found, start = [], graph.constant([0])
    for own in together:
        shape = graph.node("Shape", own.ids)
        end = graph.node("Add", start, graph.reshape(graph.node("Size", own.ids), 1))
        vectors, weights = (
            node if len(together) == 1 else graph.node("Slice", node, start, end, graph.constant([0])) for node in both
        )
        wide = graph.joined([shape, graph.constant([model.header.dim])])
        found.append(
            _Found(
                graph.node("Reshape", vectors, wide, allowzero=1), graph.node("Reshape", weights, shape, allowzero=1)
            )
        )
        start = end
    return found


def _pooled(graph: Graph, model: PackedFM, own: Values, found: _Found) -> tuple[str, str, list[str]]:
    """Return what a field adds to S, float32 (batch, dim), and to logits, float32 (batch,): linear weights, pairs."""
    name = model.schema.id_names[own.column]
    pooling = model.schema.poolings.get(name, _ONE_VALUE)
    embeddings, linear = found.embeddings, found.linear
    if own.weights is not None:
        wrong = graph.node("Or", graph.node("IsInf", own.weights), graph.node("IsNaN", own.weights))
        weights = graph.node("Add", own.weights, checked(graph, wrong, np.float32(0), f"{WRONG_WEIGHT}: {name}"))
        embeddings = graph.node("Mul", embeddings, graph.node("Unsqueeze", weights, graph.constant([2])))
        linear = graph.node("Mul", linear, weights)
    term, weight = graph.sum(embeddings, 1), graph.sum(linear, 1)
    if pooling.each:
        return term, weight, [_pairs(graph, embeddings)]
    count = _count(graph, own.ids, int(model.schema.pads[own.column]))
    term = _scaled(graph, term, pooling.embedding, count)
    return term, _scaled(graph, weight, pooling.linear, graph.reshape(count, -1)), []


def _count(graph: Graph, ids: str, pad: int) -> str:
    """Return how many values a row has, 1 where it has none, float32 (batch, 1)."""
    missing = graph.node("Equal", ids, graph.constant(np.int64(MISSING)))
    if pad >= 0:
        missing = graph.node("Or", missing, graph.node("Equal", ids, graph.constant(np.int64(pad))))
    there = graph.cast(graph.node("Not", missing), np.float32)
    count = graph.node("ReduceSum", there, graph.constant([1]), keepdims=1)
    return graph.node("Max", count, graph.constant(np.float32(1)))


def _scaled(graph: Graph, total: str, pooling: str, count: str) -> str:
    if pooling == "sum":
        return total
    return graph.node("Div", total, count if pooling == "mean" else graph.node("Sqrt", count))


def _pairs(graph: Graph, embeddings: str) -> str:
    """Return what the values of a row come to with each other, float32 (batch,): computed in double, as they cancel."""
    terms = graph.cast(embeddings, np.float64)
    total = graph.sum(terms, 1)
    squares = graph.sum(graph.node("Mul", total, total), 1)
    own = graph.sum(graph.node("Mul", terms, terms), 1, 2)
    half = graph.node("Mul", graph.node("Sub", squares, own), graph.constant(np.float64(0.5)))
    return graph.cast(half, np.float32)
