"""Writing a model as an ONNX file, which any runtime for ONNX scores with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.artifact.io import seal_of
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import UsageError
from fmcompress.export.graph import Graph, Port
from fmcompress.export.scoring import add_scoring
from fmcompress.export.tokens import ids_of_tokens, key_bytes
from fmcompress.files import check_writable, replacing
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary

_LARGEST_BYTES = 2 * 10**9
"""Protocol buffers end at 2 GiB; what is not in the artifact takes a twentieth at most."""


def export_onnx(model: PackedFM, path: str | Path, *, tokens: bool = False, force: bool = False) -> int:
    """Write a model as an ONNX file; the same model gives the same bytes.

    Its input ``ids`` is int64 (batch, ids), in the order of ``schema.id_names``, counted from 0 in each field, -1 where
    one is missing; ``values``, where there are numeric fields, float32 (batch, numeric fields), NaN where one is
    missing. Its output ``prediction`` is float32 (batch,).

    Args:
        model: the compressed model.
        path: file to write.
        tokens: whether fields with a vocabulary are in an input of strings, ``tokens``, and not in ``ids``.
        force: whether an existing file is replaced.

    Returns:
        The size of the file in bytes.

    Raises:
        DependencyError: the package onnx is missing.
        UsageError: the model is too large for one file of ONNX, or has no vocabulary for its tokens.
        OutputError: the file exists, its folder does not, or the disk is full.
    """
    check_writable(Path(path), force=force)
    data: bytes = onnx_model(model, tokens=tokens).SerializeToString(deterministic=True)
    with replacing(Path(path), force=force) as file:
        file.write(data)
    return len(data)


def onnx_model(model: PackedFM, *, tokens: bool = False) -> Any:
    """Return a model as an ``onnx.ModelProto``; arguments and errors are those of ``export_onnx``."""
    vocabulary = _vocabulary(model) if tokens else None
    stored = sum(tensor.nbytes for tensor in model.header.tensors) + (
        0 if vocabulary is None else key_bytes(vocabulary)
    )
    if stored > _LARGEST_BYTES:
        raise UsageError(f"the model has {stored:,} bytes, one file of ONNX holds {_LARGEST_BYTES:,}")
    graph = Graph()
    schema = model.schema
    if vocabulary is None:
        inputs, ids = [Port("ids", np.int64, ("batch", len(schema.id_names)))], graph.turned("ids")
        metadata = {"ids": _listed(schema.id_names)}
    else:
        inputs, ids, metadata = _tokens(graph, schema, vocabulary)
    if schema.numeric:
        inputs.append(Port("values", np.float32, ("batch", len(schema.numeric))))
        metadata["values"] = _listed(schema.numeric_names)
    add_scoring(graph, model, ids, "values" if schema.numeric else None, "prediction")
    metadata |= {"link": model.link, "sha256": seal_of(model)}
    return graph.model(inputs, [Port("prediction", np.float32, ("batch",))], metadata)


def _vocabulary(model: PackedFM) -> Vocabulary:
    if model.vocabulary is None:
        raise UsageError(
            "the artifact carries no vocabulary, which tokens need",
            hint="without tokens, the ONNX file takes ids; quantize --with-vocabulary keeps a vocabulary",
        )
    return model.vocabulary


def _tokens(graph: Graph, schema: Schema, vocabulary: Vocabulary) -> tuple[list[Port], str, dict[str, str]]:
    """Return inputs of tokens, and of ids for fields without a vocabulary; all ids; and what metadata say of both."""
    known = {name: own for name in schema.id_names if (own := vocabulary.of(name, schema)) is not None}
    rest = [name for name in schema.id_names if name not in known]
    inputs, metadata = [Port("tokens", np.str_, ("batch", len(known)))], {"tokens": _listed(known)}
    parts = [ids_of_tokens(graph, "tokens", list(known.values()))]
    if rest:
        inputs.append(Port("ids", np.int64, ("batch", len(rest))))
        metadata["ids"] = _listed(rest)
        parts.append(graph.turned("ids"))
    order = [*known, *rest]
    places = [order.index(name) for name in schema.id_names]
    return inputs, graph.rows(graph.joined(parts), places, len(order)), metadata


def _listed(names: Iterable[str]) -> str:
    return json.dumps(list(names), ensure_ascii=False)
