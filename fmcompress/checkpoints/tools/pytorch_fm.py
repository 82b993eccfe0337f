"""Checkpoints of pytorch-fm (on PyPI: torchfm): a state_dict, or the whole model that its example saves.

    embedding.embedding.weight   (categories, dim)
    linear.fc.weight             (categories, 1)
    linear.bias                  (1,)

A DeepFM and an NFM have dense layers, N from 0 on with gaps, each hidden one with a batch norm and a ReLU behind it; an
NFM has a batch norm of the interactions too:

    mlp.mlp.N.…                  Linear, BatchNorm1d, …, Linear to one number
    fm.1.…                       BatchNorm1d

A whole model also has the first row of each field, as numpy arrays ``embedding.offsets`` and
``linear.offsets``.
"""

from collections.abc import Mapping

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim, from_flat
from fmcompress.checkpoints.files.tensor import Weights, read_float32
from fmcompress.checkpoints.large_tables import read_table
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.dense_layers import (
    Inputs,
    in_sequence,
    read_network,
    sequence_in,
)
from fmcompress.checkpoints.tools.folded_layers import RELU, BatchNorm, Step, keys_of
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray

_EMBEDDINGS = "embedding.embedding.weight"
_LINEAR = "linear.fc.weight"
_BIAS = "linear.bias"
_OFFSETS = ("embedding.offsets", "linear.offsets")

_PACKAGE = "torchfm."
_CLASSES = {
    "torchfm.model.fm.FactorizationMachineModel": None,
    "torchfm.model.dfm.DeepFactorizationMachineModel": "deepfm",
    "torchfm.model.nfm.NeuralFactorizationMachineModel": "nfm",
}
"""Kinds of network by class."""

_LAYERS = "mlp.mlp."
_NORM = "fm.1."


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has a table where pytorch-fm has one."""
    return bool({_EMBEDDINGS, _LINEAR} & file.weights.tensors.keys())


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of pytorch-fm; a bare state_dict needs fields.

    Fields that a whole model tells are named ``field_0``, ``field_1``, … unless ``given.fields`` names them.

    Raises:
        CheckpointError: it is another model, shapes disagree, fields are missing or have other sizes.
    """
    found = file.weights
    kind = _kind(found)
    steps = _steps(file, kind)
    needed, optional = keys_of(steps)
    weights = claim(found.tensors, (_EMBEDDINGS, _LINEAR, _BIAS, *needed), optional)
    shape = weights[_EMBEDDINGS].shape
    for key, expected in ((_LINEAR, (*shape[:1], 1)), (_BIAS, (1,))):
        if len(shape) != 2 or weights[key].shape != expected:
            raise CheckpointError(
                f"{_EMBEDDINGS!r} has shape {shape} and {key!r} {weights[key].shape}, "
                f"expected (categories, dim) and {expected}"
            )
    rows, dim = shape
    schema = agreed_fields(_own_fields(found.arrays, rows), given.fields, rows)
    linear_only = [field.name for field in schema.numeric if field.linear_only]
    if kind is not None and linear_only:
        name = linear_only[0]
        raise CheckpointError(f"its numeric field {name!r} has an embedding", hint=f"write {name}:numeric")
    inputs = Inputs(schema, dim, schema.order)
    return from_flat(
        schema,
        bias=float(read_float32(weights, _BIAS)[0]),
        linear=read_float32(weights, _LINEAR)[:, 0],
        embeddings=read_table(weights, _EMBEDDINGS),
        network=None if kind is None else read_network(kind, steps, weights, inputs),
    )


def _kind(found: Weights) -> str | None:
    """Return the kind of network of a model; None of a factorization machine."""
    name = found.class_name
    if name is not None and name.startswith(_PACKAGE):
        if name not in _CLASSES:
            # HighOrderFactorizationMachineModel and WideAndDeepModel have the very same keys as models that are read.
            raise CheckpointError(f"it is a {quoted(name)}, expected a {' or '.join(_CLASSES)}")
        return _CLASSES[name]
    if any(key.startswith(_NORM) for key in found.tensors):
        return "nfm"
    return "deepfm" if any(key.startswith(_LAYERS) for key in found.tensors) else None


def _steps(file: CheckpointFile, kind: str | None) -> list[Step]:
    if kind is None:
        return []
    layers = in_sequence(file.weights.tensors, _LAYERS, (RELU,), module=sequence_in(file.model, _LAYERS))
    return [BatchNorm(_NORM), *layers] if kind == "nfm" else layers


def _own_fields(arrays: Mapping[str, AnyArray], rows: int) -> Schema | None:
    found = [arrays[key] for key in _OFFSETS if key in arrays]
    if not found:
        return None
    offsets = found[0]
    if any(not np.array_equal(offsets, other) for other in found):
        raise CheckpointError(f"{_OFFSETS[0]!r} and {_OFFSETS[1]!r} disagree")
    ends = np.append(offsets, rows)
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or ends[0] != 0 or (ends[1:] <= ends[:-1]).any():
        raise CheckpointError(f"{_OFFSETS[0]!r} are no first rows of fields in a table of {rows:,} rows")
    sizes = (ends[1:] - ends[:-1]).tolist()
    return Schema.of((f"field_{number}", size) for number, size in enumerate(sizes))
