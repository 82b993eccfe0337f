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
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim
from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import FileTensor, read_number, read_shape
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, listed, listed_all, quoted
from fmcompress.checkpoints.tools.dense_layers import (
    RELU,
    Activation,
    BatchNorm,
    Inputs,
    Linear,
    PReLU,
    Step,
    activation_of,
    batch_norm_of,
    first_width,
    keys_of,
    of_each,
    read_network,
    unknown_module,
)
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, pad_rows, read_tables
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import KINDS, Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField

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

_SPARSE_FEAT = "deepctr_torch.inputs.SparseFeat"
_DENSE_FEAT = "deepctr_torch.inputs.DenseFeat"
_SEQUENCE_FEAT = "deepctr_torch.inputs.VarLenSparseFeat"
_COMBINER, _LENGTH_NAME = 2, 3
_COMBINERS = ("sum", "mean")
_PAD = 0


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
        columns = _columns_of_tables(weights, rows, given.fields)
    else:
        columns = _columns_of_model(model, rows, _numbers(weights))
    fields = named(columns.fields, given.fields)
    looked_up = replace(fields, own={name: columns.tables.get(own, own) for name, own in fields.own.items()})
    _check_complete(looked_up, set(rows))
    linear, embeddings = read_tables(looked_up, weights, _LINEAR, _EMBEDDINGS)
    for row in pad_rows(fields.schema):  # never looked at, and left as it was drawn at random
        linear[row], embeddings[row] = 0, 0
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
    columns: _Columns,
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


def _numbers(weights: Mapping[str, FileTensor]) -> int:
    """Return the number of dense values."""
    if _DENSE not in weights:
        return 0
    shape = weights[_DENSE].shape
    if len(shape) != 2 or shape[1] != 1:
        raise CheckpointError(f"{_DENSE!r} has shape {shape}, expected (numbers, 1)")
    return shape[0]


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


@dataclass(frozen=True)
class _Columns:
    """The features of a model.

    Attributes:
        fields: in the order in which the model takes them.
        tables: name of its table by the name of each feature with a table of another name.
        linear: names of the numbers that have linear weights, in the order of these.
        vectors: names of the features whose embeddings dense layers take, in their order.
        values: names of the numbers that these take, in their order.
    """

    fields: list[AnyField]
    tables: dict[str, str]
    linear: list[str]
    vectors: list[str]
    values: list[str]


def _columns_of_tables(weights: Mapping[str, FileTensor], rows: Mapping[str, int], given: Schema | None) -> _Columns:
    """Return what a state_dict tells: a field of each table, and the dense ones."""
    numbers = _numbers(weights)
    linear = [f"dense_{number}" for number in range(numbers)]
    # Numbers that only dense layers take have no weights: of these the caller alone can tell.
    dense = linear or [f"dense_{number}" for number in range(0 if given is None else len(given.numeric))]
    fields: list[AnyField] = [Field(name, size) for name, size in rows.items()]
    return _Columns(
        [*fields, *(NumericField(name, linear_only=True) for name in dense)],
        {},
        linear,
        [name for name in rows if _EMBEDDINGS.format(name) in weights],
        dense,
    )


def _columns_of_model(model: Stub, rows: Mapping[str, int], numbers: int) -> _Columns:
    """Return the feature columns of a whole model.

    A feature that has the ``embedding_name`` of an earlier one shares its table. Numbers of a dense feature of several
    are named ``name_0``, ``name_1``, ….
    """
    with damaged("its feature columns cannot be read"):
        fields: list[AnyField] = []
        owners: dict[str, str] = {}
        columns = _by_index(model, {_name(column): column for column in _all_columns(model)})
        dense = _list(_linear_model(model), "dense_feature_columns")
        _check_numbers(dense, numbers)
        in_linear = {_name(column): column for column in _list(_linear_model(model), "varlen_sparse_feature_columns")}
        counted = {_table(column) for column in columns.values() if _takes_all(column)}
        for name, column in columns.items():
            if column.class_name == _SEQUENCE_FEAT:
                pooling = _pooling(name, column, in_linear.get(name, column))
                fields.append(_sequence(name, column, pooling, owners, rows, counted))
            else:
                fields.extend(_fields(name, column, owners, rows))
        if any(isinstance(field, SharedField) for field in fields):
            _check_same_parts(model)
        taken = _list(model, "dnn_feature_columns")
        return _Columns(
            fields,
            {owner: table for table, owner in owners.items()},
            _numbers_of(dense),
            [_name(column) for kind in (_SPARSE_FEAT, _SEQUENCE_FEAT) for column in taken if column.class_name == kind],
            _numbers_of(column for column in taken if column.class_name == _DENSE_FEAT),
        )


def _numbers_of(columns: Iterable[Stub]) -> list[str]:
    return [name for column in columns for name in _names_of_numbers(_name(column), column)]


def _all_columns(model: Stub) -> list[Stub]:
    """Return the columns of both parts; dense features of the second part are left out where there is no DNN."""
    parts = ("sparse_feature_columns", "dense_feature_columns", "varlen_sparse_feature_columns")
    linear = [column for part in parts for column in _list(_linear_model(model), part)]
    other = _pairwise(model) if submodule(model, "dnn") is None else _list(model, "dnn_feature_columns")
    return [*linear, *other]


def _pairwise(model: Stub) -> list[Stub]:
    return [column for column in _list(model, "dnn_feature_columns") if column.class_name != _DENSE_FEAT]


def _check_same_parts(model: Stub) -> None:
    """Check that both parts take the same features: one that is in a single part must have a table of its own."""
    parts = ("sparse_feature_columns", "varlen_sparse_feature_columns")
    linear = {_name(column) for part in parts for column in _list(_linear_model(model), part)}
    different = linear ^ {_name(column) for column in _pairwise(model)}
    if different:
        raise CheckpointError(f"it shares tables, and its feature {listed(sorted(different))} is not in both parts")


def _linear_model(model: Stub) -> Stub:
    linear = submodule(model, "linear_model")
    if linear is None:
        raise TypeError("it has no linear model")
    return linear


def _list(owner: Stub, attribute: str) -> list[Stub]:
    columns = owner.attributes.get(attribute)
    if not isinstance(columns, list) or not all(isinstance(column, Stub) for column in columns):
        raise TypeError(f"{attribute} is no list of columns")
    return columns


def _name(column: Stub) -> str:
    """Return a column's name; a sequence has it in the column that it is made of."""
    first = column.args[0] if isinstance(column.args, tuple) else None
    if isinstance(first, Stub):
        return _name(first) if column.class_name == _SEQUENCE_FEAT and first.class_name == _SPARSE_FEAT else ""
    if not isinstance(first, str):
        raise TypeError("a column has no name")
    return first


def _by_index(model: Stub, columns: dict[str, Stub]) -> dict[str, Stub]:
    index = model.attributes.get("feature_index")
    order = index if isinstance(index, dict) else {}
    return {name: columns[name] for name in order if name in columns} | columns


def _check_numbers(columns: Iterable[Stub], numbers: int) -> None:
    """Check that dense features have as many numbers as there are weights, before fields are made of them."""
    found = sum(_dimension(column) for column in columns)
    if found != numbers:
        raise CheckpointError(f"it has weights of {numbers:,} numbers, but its dense feature columns have {found:,}")


def _dimension(column: Stub) -> int:
    dimension = column.args[1] if isinstance(column.args, tuple) else None
    if type(dimension) is not int or dimension < 1:
        raise ValueError("a dense feature has no dimension")
    return dimension


def _fields(name: str, column: Stub, owners: dict[str, str], rows: Mapping[str, int]) -> list[AnyField]:
    """Return the fields of a column of single values; ``owners`` gets the field of each table."""
    if column.class_name == _DENSE_FEAT:
        return [NumericField(each, linear_only=True) for each in _names_of_numbers(name, column)]
    table = _table(column)
    _check_table(name, table, rows)
    if table in owners:
        return [SharedField(name, owners[table])]
    owners[table] = name
    return [Field(name, rows[table])]


def _names_of_numbers(name: str, column: Stub) -> list[str]:
    numbers = _dimension(column)
    return [name] if numbers == 1 else [f"{name}_{number}" for number in range(numbers)]


def _sequence(
    name: str,
    column: Stub,
    pooling: Pooling,
    owners: dict[str, str],
    rows: Mapping[str, int],
    counted: Collection[str],
) -> AnyField:
    """Return the field of a sequence; in the tables that are ``counted``, id 0 is a value for one of the features."""
    table = _table(column)
    _check_table(name, table, rows)
    if table in owners:
        return SharedField(name, owners[table], pooling)
    owners[table] = name
    return Field(name, rows[table], None if table in counted else _PAD, pooling)


def _takes_all(column: Stub) -> bool:
    """Return whether id 0 is a value of a feature like all others."""
    if column.class_name == _SEQUENCE_FEAT:
        return _part(column, _LENGTH_NAME) is not None
    return column.class_name == _SPARSE_FEAT


def _table(column: Stub) -> str:
    """Return the name of the table that a column looks up in."""
    own: object = _part(column, 0) if column.class_name == _SEQUENCE_FEAT else column
    is_sparse = isinstance(own, Stub) and own.class_name == _SPARSE_FEAT
    table = own.args[-2] if is_sparse and isinstance(own, Stub) and isinstance(own.args, tuple) else None
    if not isinstance(table, str):
        raise TypeError("a column is of an unknown kind")
    return table


def _check_table(name: str, table: str, rows: Mapping[str, int]) -> None:
    if table not in rows:
        raise CheckpointError(f"its feature {listed([name])} has no table {listed([table])}")


def _pooling(name: str, column: Stub, in_linear: Stub) -> Pooling:
    """Return how the values of a sequence are pooled in the pairwise part and in the linear one."""
    combiners = [_part(each, _COMBINER) for each in (column, in_linear)]
    for combiner in combiners:
        if combiner not in _COMBINERS:
            shown = quoted(combiner) if isinstance(combiner, str) else type(combiner).__name__
            raise CheckpointError(
                f"its sequence {listed([name])} is pooled by {shown}, expected {' or '.join(_COMBINERS)}",
                hint="what is largest in each coordinate is no sum of embeddings: train with combiner='mean' or 'sum'",
            )
    return Pooling(str(combiners[0]), str(combiners[1]))


def _part(column: Stub, place: int) -> object:
    return column.args[place] if isinstance(column.args, tuple) and len(column.args) > place else None
