"""DeepFM of DeepCTR-Torch (``deepctr_torch``) without a DNN: a state_dict or a whole model, both named ``….h5``.

embedding_dict.E.weight                 (V_E, dim)
linear_model.embedding_dict.E.weight    (V_E, 1)
linear_model.weight                     (numbers, 1), of dense features, which enter the linear term alone
out.bias                                (1,)

E is the feature's ``embedding_name``: mostly its name, but features may share one. Only a whole model tells: it has the
feature columns, see ``deepctr_columns``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim, listed
from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import Tensor
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.deepctr_torch.feature_columns import Columns, columns_of
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, read_shape, stacked
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import Field, NumericField

_EMBEDDINGS = "embedding_dict.{}.weight"
_LINEAR = f"linear_model.{_EMBEDDINGS}"
_DENSE = "linear_model.weight"
_BIAS = "out.bias"
_TABLE = re.compile(r"(?:linear_model\.)?embedding_dict\.([^.]+)\.weight")

_CLASS = "deepctr_torch.models.deepfm.DeepFM"
_LINKS = {"binary": "sigmoid", "regression": "identity"}


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where DeepCTR-Torch has them."""
    return any(_TABLE.fullmatch(key) for key in file.weights.tensors)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a DeepFM of DeepCTR-Torch that has no DNN.

    A state_dict tells neither its task nor shared tables nor names of dense features: the link is sigmoid, and these
    are named ``dense_0``, ``dense_1``, …, where nothing else is given.

    Raises:
        CheckpointError: it is another model, shapes disagree, or the fields given are others.
    """
    found, model = file.weights, file.model
    link = "sigmoid" if model is None else _link(model, found.class_name or "")
    tables = {key: match[1] for key in found.tensors if (match := _TABLE.fullmatch(key))}
    weights = claim(found.tensors, (_BIAS,), (*tables, _DENSE))
    numbers = _numbers(weights)
    rows = {name: (weights[key].shape or (0,))[0] for key, name in tables.items()}
    columns = Columns(_fields(rows, numbers), {}) if model is None else columns_of(model, rows, numbers)
    fields = named(columns.fields, given.fields)
    fields = replace(fields, own={name: columns.tables.get(own, own) for name, own in fields.own.items()})
    _check_complete(fields, set(rows))
    linear, embeddings = stacked(fields, weights, _LINEAR, _EMBEDDINGS)
    return FMCheckpoint(
        fields.schema,
        bias=float(read_shape(_BIAS, weights[_BIAS], (1,))[0]),
        linear=linear,
        embeddings=embeddings,
        link=link,
        numeric=_numeric(fields, columns.fields, weights, embeddings.shape[1]),
    )


def _link(model: Stub, class_name: str) -> str:
    """Return the link of a whole model, if it is a factorization machine."""
    if class_name != _CLASS:
        raise CheckpointError(f"it is a {quoted(class_name)}, expected a {_CLASS}")
    if model.attributes.get("use_fm") is not True:
        raise CheckpointError("it is a linear model: it was made with use_fm=False")
    out = submodule(model, "out")
    task = out.attributes.get("task") if out else None
    if task not in _LINKS:
        raise CheckpointError(f"its task is {quoted(str(task))}, expected {' or '.join(_LINKS)}")
    return _LINKS[str(task)]


def _numbers(weights: Mapping[str, Tensor]) -> int:
    """Return the number of dense values."""
    if _DENSE not in weights:
        return 0
    shape = weights[_DENSE].shape
    if len(shape) != 2 or shape[1] != 1:
        raise CheckpointError(f"{_DENSE!r} has shape {shape}, expected (numbers, 1)")
    return shape[0]


def _fields(rows: Mapping[str, int], numbers: int) -> list[AnyField]:
    """Return the fields of a state_dict, in the order of its tables."""
    dense = [NumericField(f"dense_{number}", linear_only=True) for number in range(numbers)]
    return [*(Field(name, size) for name, size in rows.items()), *dense]


def _check_complete(fields: NamedFields, tables: set[str]) -> None:
    own = {fields.own[name] for name in fields.schema.names}
    if own != tables:
        raise CheckpointError(
            f"it has tables {listed(sorted(tables))}, but its feature columns are {listed(sorted(own))}"
        )


def _numeric(fields: NamedFields, own: list[AnyField], weights: Mapping[str, Tensor], dim: int) -> NumericWeights:
    dense = {field.name: row for row, field in enumerate(field for field in own if isinstance(field, NumericField))}
    if not dense:
        return NumericWeights.none(dim)
    values = read_shape(_DENSE, weights[_DENSE], (len(dense), 1))[:, 0]
    rows = [dense[fields.own[name]] for name in fields.schema.numeric_names]
    return NumericWeights(values[rows], np.zeros((len(dense), dim), np.float32))
