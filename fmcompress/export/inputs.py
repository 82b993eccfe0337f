"""The inputs of a graph: ids and values of rows, or the tokens of fields with a vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from fmcompress.export.bags import Values
from fmcompress.export.graph import Graph, Port
from fmcompress.export.scoring import RowInputs
from fmcompress.export.tokens import ids_of_tokens
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary


class RowPorts:
    """Inputs while they are put together.

    Attributes:
        ports: the inputs.
        metadata: names of the fields that they hold.
    """

    def __init__(self, graph: Graph, schema: Schema, vocabulary: Vocabulary | None, *, weights: bool) -> None:
        """Begin with none.

        Args:
            graph: the graph.
            schema: the fields.
            vocabulary: whose tokens are taken in place of ids; None where ids are taken.
            weights: whether values of fields with several in a row have weights.
        """
        self.ports: list[Port] = []
        self.metadata: dict[str, str] = {}
        self._graph, self._schema, self._weights = graph, schema, weights
        self._known: dict[str, FieldVocabulary] = {}
        for name in () if vocabulary is None else schema.id_names:
            own = None if vocabulary is None else vocabulary.of(name, schema)
            if isinstance(own, FieldVocabulary):
                self._known[name] = own

    def rows(self) -> RowInputs:
        """Add all inputs, and return nodes with what rows are made of."""
        schema = self._schema
        single = [name for name in schema.id_names if name not in schema.poolings]
        ids = self._ids(single) if single else None
        bags = tuple(self._bag(number, name) for number, name in enumerate(schema.poolings))
        if bags:
            self.metadata["bags"] = _listed(schema.poolings)
        if schema.numeric:
            self._port("values", np.float32, len(schema.numeric), schema.numeric_names)
        columns = tuple(schema.id_names.index(name) for name in single)
        return RowInputs(ids, columns, bags, "values" if schema.numeric else None)

    def _ids(self, names: list[str]) -> str:
        """Add the inputs of fields with one value at most, and return their ids, int64 (fields, batch)."""
        known = [name for name in names if name in self._known]
        rest = [name for name in names if name not in self._known]
        parts = []
        if known:
            self._port("tokens", np.str_, len(known), known)
            parts.append(ids_of_tokens(self._graph, "tokens", [self._known[name] for name in known]))
        if rest:
            self._port("ids", np.int64, len(rest), rest)
            parts.append(self._graph.turned("ids"))
        order = [*known, *rest]
        return self._graph.rows(self._graph.joined(parts), [order.index(name) for name in names], len(order))

    def _bag(self, number: int, name: str) -> Values:
        """Add the inputs of a field with several values, and return them."""
        size, graph = f"values_{number}", self._graph
        kind, dtype = ("tokens", np.str_) if name in self._known else ("ids", np.int64)
        ids = f"{kind}.{name}"
        self.ports.append(Port(ids, dtype, ("batch", size)))
        if name in self._known:
            flat = ids_of_tokens(graph, graph.reshape(ids, -1, 1), [self._known[name]])
            ids = graph.node("Reshape", flat, graph.node("Shape", ids), allowzero=1)
        if not self._weights:
            return Values(self._schema.id_names.index(name), ids)
        self.ports.append(Port(f"weights.{name}", np.float32, ("batch", size)))
        return Values(self._schema.id_names.index(name), ids, f"weights.{name}")

    def _port(self, name: str, dtype: type[np.generic], size: int, fields: Iterable[str]) -> None:
        self.ports.append(Port(name, dtype, ("batch", size)))
        self.metadata[name] = _listed(fields)


def _listed(names: Iterable[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)
