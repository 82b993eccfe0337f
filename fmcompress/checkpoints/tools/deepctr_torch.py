"""DeepFM and NFM of DeepCTR-Torch (``deepctr_torch``): a state_dict or a whole model, both named ``….h5``.

embedding_dict.E.weight                 (V_E, dim)
linear_model.embedding_dict.E.weight    (V_E, 1)
linear_model.weight                     (numbers, 1), of dense features, which have no embedding
out.bias                                (1,)

Dense layers, N from 0 on, take embeddings, of sequences last, and behind them the values of dense features:

dnn.linears.N.weight, .bias             (out, in), (out,)
dnn.bn.N.…                              BatchNorm1d
dnn.activation_layers.N.weight          (1,), of a PReLU
dnn_linear.weight                       (1, hidden)

E is the feature's ``embedding_name``: mostly its name, but features may share one. Only a whole model tells: it has the
feature columns, named tuples that are read as stubs.

SparseFeat(name, vocabulary_size, embedding_dim, …, embedding_name, group_name)
VarLenSparseFeat(SparseFeat, maxlen, combiner, length_name, …)
DenseFeat(name, dimension, dtype)

A sequence is pooled by its combiner, in both parts. Id 0 is none of its values, unless ``length_name`` says how many
there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim
from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import FileTensor, read_number, read_shape
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import listed, listed_all, quoted
from fmcompress.checkpoints.tools.deepctr_columns import Columns, columns_of_model, columns_of_tables, numbers_of
from fmcompress.checkpoints.tools.dense_layers import (
    Inputs,
    activation_of,
    batch_norm_of,
    first_width,
    of_each,
    read_network,
    unknown_module,
)
from fmcompress.checkpoints.tools.field_tables import NamedFields, named, pad_rows, read_tables
from fmcompress.checkpoints.tools.folded_layers import (
    RELU,
    Activation,
    BatchNorm,
    Linear,
    PReLU,
    Step,
    keys_of,
)
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import zeroed
from fmcompress.fm.network import KINDS, Network
from fmcompress.fm.numeric_weights import NumericWeights

_EMBEDDINGS = "embedding_dict.{}.weight"
_LINEAR = f"linear_model.{_EMBEDDINGS}"
_DENSE = "linear_model.weight"
_BIAS = "out.bias"
_TABLE = re.compile(r"(?:linear_model\.)?embedding_dict\.([^.]+)\.weight")

_KINDS = {"deepctr_torch.models.deepfm.DeepFM": "deepfm", "deepctr_torch.models.nfm.NFM": "nfm"}
"""Kinds of network by class."""

_LAYER = "dnn.linears.{}."
_NORM = "dnn.bn.{}."
_ACTIVATION = "dnn.activation_layers.{}."
_LAST = "dnn_linear."
_MOST_LAYERS = 1000
_LINKS = {"binary": "sigmoid", "regression": "identity"}


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has tables where DeepCTR-Torch has them."""
    return any(_TABLE.fullmatch(key) for key in file.weights.tensors)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a DeepFM of DeepCTR-Torch, with or without a DNN, or an NFM.

    A state_dict tells neither its task nor shared tables nor names of dense features: the link is sigmoid, and these
    are named ``dense_0``, ``dense_1``, …, where nothing else is given. Whether it is a DeepFM or an NFM, the number of
    inputs tells.

    Raises:
        CheckpointError: it is another model, shapes disagree, or the fields given are others.
    """
    found, model = file.weights, file.model
    link = "sigmoid" if model is None else _link(model, found.class_name or "")
    tables = {key: match[1] for key in found.tensors if (match := _TABLE.fullmatch(key))}
    steps = _steps(found.tensors, model, given.activations or (RELU,))
    if model is not None and not steps and _KINDS[found.class_name or ""] == "nfm":
        raise CheckpointError(f"it is an NFM, but has no {_LAYER.format(0)}weight")
    needed, optional = keys_of(steps)
    weights = claim(found.tensors, (_BIAS, *needed), (*tables, _DENSE, *optional))
    rows = {name: (weights[key].shape or (0,))[0] for key, name in tables.items()}
    if model is None:
        columns = columns_of_tables(weights, rows, given.fields)
    else:
        columns = columns_of_model(model, rows, numbers_of(weights))
    fields = named(columns.fields, given.fields)
    looked_up = replace(fields, own={name: columns.tables.get(own, own) for name, own in fields.own.items()})
    _check_complete(looked_up, set(rows))
    linear, embeddings = read_tables(looked_up, weights, _LINEAR, _EMBEDDINGS)
    pads = pad_rows(fields.schema)  # never looked at, and left as they were drawn at random
    linear[pads], embeddings = 0, zeroed(embeddings, pads)
    return FMCheckpoint(
        fields.schema,
        bias=read_number(weights, _BIAS),
        linear=linear,
        embeddings=embeddings,
        link=link,
        numeric=_numeric(fields, columns.linear, weights, embeddings.shape[1]),
        network=_network(found.class_name, steps, weights, fields, columns, embeddings.shape[1]) if steps else None,
    )


def _steps(tensors: Mapping[str, FileTensor], model: Stub | None, activations: Sequence[str]) -> list[Step]:
    """Return the dense layers; none where there are none."""
    keys = (f"{_LAYER.format(number)}weight" for number in range(_MOST_LAYERS))
    layers = sum(1 for _ in takewhile(tensors.__contains__, keys))
    if not layers:
        return []
    dnn = None if model is None else submodule(model, "dnn")
    names = of_each(activations, layers)
    steps: list[Step] = []
    for number in range(layers):
        steps.append(Linear(_LAYER.format(number)))
        key = _NORM.format(number)
        if f"{key}running_mean" in tensors:
            norm = _module(dnn, "bn", number)
            steps.append(BatchNorm(key) if norm is None else batch_norm_of(norm, key))
        key = _ACTIVATION.format(number)
        module = _module(dnn, "activation_layers", number)
        if module is not None:
            found = activation_of(module, key)
            if found is None:
                raise unknown_module(module, key)
            steps.append(found)
        else:
            steps.append(PReLU(key) if f"{key}weight" in tensors else Activation(names[number]))
    return [*steps, Linear(_LAST, biased=False)]


def _module(dnn: Stub | None, name: str, number: int) -> Stub | None:
    modules = None if dnn is None else submodule(dnn, name)
    return None if modules is None else submodule(modules, f"{number}")


def _network(
    class_name: str | None,
    steps: Sequence[Step],
    weights: Mapping[str, FileTensor],
    fields: NamedFields,
    columns: Columns,
    dim: int,
) -> Network:
    """Return the network, of the kind that the model's class or, without it, the number of inputs tells."""
    inputs = Inputs(
        fields.schema,
        dim,
        _in_order(fields, columns.vectors),
        fields.named(columns.values),
    )
    if class_name is not None:
        return read_network(_KINDS[class_name], steps, weights, inputs)
    width = first_width(steps, weights)
    for kind in _KINDS.values():
        if inputs.size(kind) == width:
            return read_network(kind, steps, weights, inputs)
    expected = " or ".join(f"{inputs.size(kind)} of a {KINDS[kind].title}" for kind in _KINDS.values())
    raise CheckpointError(
        f"{listed([f'{_LAYER.format(0)}weight'])} takes {width} numbers, expected {expected}",
        hint="a state_dict does not tell shared tables, nor features of one part alone: save the whole model, or name "
        "all features with --fields in their order",
    )


def _in_order(fields: NamedFields, vectors: Sequence[str]) -> list[str]:
    """Return the fields whose embeddings dense layers take, in their order.

    Args:
        fields: the fields, by names of features in the file; of those that are not in it, the caller says the order.
        vectors: names of features in the file.
    """
    names = fields.named(vectors)
    added = {field.name for field in fields.schema.shared if field.name not in fields.own}
    if not added:
        return names
    order = [name for name in fields.schema.order if name in added or name in names]
    if [name for name in order if name in names] != names:
        raise CheckpointError(
            f"--fields shares a table, but names the others in another order than the file: {listed_all(names)}",
            hint="name the fields in the order of the model's features",
        )
    return order


def _link(model: Stub, class_name: str) -> str:
    """Return the link of a whole model, if it is a factorization machine, with or without dense layers."""
    if class_name not in _KINDS:
        raise CheckpointError(f"it is a {quoted(class_name)}, expected a {' or '.join(_KINDS)}")
    if _KINDS[class_name] == "deepfm" and model.attributes.get("use_fm") is not True:
        raise CheckpointError("it has no pairwise term: it was made with use_fm=False")
    out = submodule(model, "out")
    task = out.attributes.get("task") if out else None
    if not isinstance(task, str) or task not in _LINKS:  # of anything else, not even the hash is safe
        shown = quoted(task) if isinstance(task, str) else type(task).__name__
        raise CheckpointError(f"its task is {shown}, expected {' or '.join(_LINKS)}")
    return _LINKS[task]


def _check_complete(fields: NamedFields, tables: set[str]) -> None:
    own = {fields.own[name] for name in fields.schema.names}
    if own != tables:
        raise CheckpointError(
            f"it has tables {listed(sorted(tables))}, but its feature columns are {listed(sorted(own))}"
        )


def _numeric(fields: NamedFields, linear: Sequence[str], weights: Mapping[str, FileTensor], dim: int) -> NumericWeights:
    """Return the weights of numbers, zeros of one that only dense layers take; ``linear`` names the others."""
    own = [fields.own[name] for name in fields.schema.numeric_names]
    if not own:
        return NumericWeights.none(dim)
    values = np.zeros(len(own), np.float32)
    if _DENSE in weights:
        stored = read_shape(weights, _DENSE, (len(linear), 1))[:, 0]
        rows = {name: row for row, name in enumerate(linear)}
        for number, name in enumerate(own):
            values[number] = stored[rows[name]] if name in rows else 0
    return NumericWeights(values, np.zeros((len(own), dim), np.float32))
