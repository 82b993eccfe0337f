"""Writing a model as an ONNX file, which any runtime for ONNX scores with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.io import seal_of
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import UsageError
from fmcompress.export.graph import Graph, Port
from fmcompress.export.inputs import RowPorts
from fmcompress.export.scoring import add_scoring
from fmcompress.export.tokens import key_bytes
from fmcompress.files import check_writable, replacing
from fmcompress.fm.quantizer import FLOAT
from fmcompress.fm.vocabulary import Vocabulary

_LARGEST_BYTES = 2 * 10**9
"""Protocol buffers end at 2 GiB; what is not in the artifact takes a twentieth at most."""


@checked_arguments
def export_onnx(
    model: PackedFM, path: str | Path, *, tokens: bool = False, weights: bool = False, force: bool = False
) -> int:
    """Write a model as an ONNX file; the same model gives the same bytes.

    Its input ``ids`` is int64 (batch, ids), in the order of ``schema.id_names``, counted from 0 in each field, -1 where
    one is missing; ``values``, where there are numeric fields, float32 (batch, numeric fields), NaN where one is
    missing. Fields with several values in a row are inputs of their own: ``ids.NAME``, int64 (batch, most values), -1
    where there is none. Its output ``prediction`` is float32 (batch,).

    Args:
        model: the compressed model.
        path: file to write.
        tokens: whether fields with a vocabulary are in an input of strings, ``tokens``, and not in ``ids``; of fields
            with several values in a row, ``tokens.NAME``.
        weights: whether values of fields with several in a row have weights, inputs ``weights.NAME``, float32 (batch,
            most values).
        force: whether an existing file is replaced.

    Returns:
        The size of the file in bytes.

    Raises:
        DependencyError: the package onnx is missing.
        UsageError: the model is too large for one file of ONNX, has no vocabulary for its tokens, or no field whose
            values could have weights.
        OutputError: the file exists, its folder does not, or the disk is full.
    """
    check_writable(Path(path), force=force)
    data: bytes = onnx_model(model, tokens=tokens, weights=weights).SerializeToString(deterministic=True)
    with replacing(Path(path), force=force) as file:
        file.write(data)
    return len(data)


def onnx_model(model: PackedFM, *, tokens: bool = False, weights: bool = False) -> Any:
    """Return a model as an ``onnx.ModelProto``; arguments and errors are those of ``export_onnx``."""
    vocabulary = _vocabulary(model) if tokens else None
    if weights and not model.schema.poolings:
        raise UsageError("no field of the model has several values in a row, which could have weights")
    stored = sum(tensor.nbytes for tensor in model.header.tensors) + (
        0 if vocabulary is None else key_bytes(vocabulary)
    )
    if model.network is not None:
        stored += FLOAT * model.network.size
    if stored > _LARGEST_BYTES:
        raise UsageError(f"the model has {stored:,} bytes, one file of ONNX holds {_LARGEST_BYTES:,}")
    graph = Graph()
    inputs = RowPorts(graph, model.schema, vocabulary, weights=weights)
    rows = inputs.rows()
    add_scoring(graph, model, rows, "prediction")
    metadata = inputs.metadata | {"link": model.link, "sha256": seal_of(model)}
    return graph.model(inputs.ports, [Port("prediction", np.float32, ("batch",))], metadata)


def _vocabulary(model: PackedFM) -> Vocabulary:
    if model.vocabulary is None:
        raise UsageError(
            "the artifact carries no vocabulary, which tokens need",
            hint="without tokens, the ONNX file takes ids; quantize --with-vocabulary keeps a vocabulary",
        )
    if not model.vocabulary.tokens:
        raise UsageError(
            "the artifact carries keys and no tokens, and graphs look up tokens only",
            hint="without tokens, the ONNX file takes ids",
        )
    return model.vocabulary
