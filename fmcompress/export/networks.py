"""Dense layers in nodes: the embedding of each field is looked up by itself, and the network takes them.

A field with one value at most is looked up as one with several is, see ``bags``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fmcompress.artifact.packed import PackedFM
from fmcompress.export.bags import Values, pooled_by_field
from fmcompress.export.graph import Graph
from fmcompress.fm.activations import LEAKY_SLOPE
from fmcompress.fm.network import DenseLayer, Network

_NODES = {"relu": "Relu", "leaky_relu": "LeakyRelu", "sigmoid": "Sigmoid", "tanh": "Tanh", "elu": "Elu"}
"""Nodes of activations; that of ``identity`` is none."""


@dataclass(frozen=True)
class NumericNodes:
    """Nodes with what the numeric fields of rows come to.

    Attributes:
        linear: Σ_j x_j w_j, float32 (batch,).
        vectors: x_j v_j of the fields that have embeddings, float32 (batch, dim) each.
        raw: x of those that are linear only, float32 (batch, such fields); None where there are none.
    """

    linear: str
    vectors: tuple[str, ...]
    raw: str | None


def network_logits(
    graph: Graph, model: PackedFM, network: Network, values: Sequence[Values], numeric: NumericNodes | None
) -> str:
    """Return the logits of a model with a network on top, float32 (batch,).

    Args:
        graph: the graph.
        model: the model.
        network: its dense layers.
        values: of each field with ids, in any order.
        numeric: of the numeric fields; None where there are none.
    """
    found = pooled_by_field(graph, model, values)
    vectors = [found[column].vector for column in sorted(found)]
    parts = [graph.constant(np.float32(model.bias)), *(found[column].linear for column in sorted(found))]
    raw = None
    if numeric is not None:
        vectors += numeric.vectors
        parts.append(numeric.linear)
        raw = numeric.raw
    kind = network.of_kind
    pairs = "" if kind.concatenated and not kind.pairwise else _interactions(graph, vectors)
    taken = vectors if kind.concatenated else [pairs]
    parts.append(_dense(graph, network.layers, graph.joined([*taken, *([raw] if raw else [])], 1)))
    if kind.pairwise:
        parts.append(graph.sum(pairs, 1))
    return graph.added(parts)


def _interactions(graph: Graph, vectors: Sequence[str]) -> str:
    """Return the sum of the products of all pairs of vectors, coordinate by coordinate, float32 (batch, dim)."""
    total, pairs = vectors[0], [graph.node("Mul", vectors[0], graph.constant(np.float32(0)))]
    for vector in vectors[1:]:
        pairs.append(graph.node("Mul", total, vector))
        total = graph.node("Add", total, vector)
    return graph.added(pairs[1:] or pairs)


def _dense(graph: Graph, layers: Sequence[DenseLayer], x: str) -> str:
    """Return the one number that the last layer returns, float32 (batch,)."""
    for number, layer in enumerate(layers):
        weight = graph.table(f"dense_{number}", layer.weight)
        x = graph.node("Gemm", x, weight, graph.table(f"dense_bias_{number}", layer.bias), transB=1)
        if layer.activation in _NODES:
            slope: dict[str, Any] = {"alpha": float(LEAKY_SLOPE)} if layer.activation == "leaky_relu" else {}
            x = graph.node(_NODES[layer.activation], x, **slope)
    return graph.reshape(x, -1)
