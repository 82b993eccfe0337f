"""DeepFM of DeepCTR-Torch (``deepctr_torch``) without a DNN: a state_dict or a whole model, both named ``….h5``.

embedding_dict.E.weight                 (V_E, dim)
linear_model.embedding_dict.E.weight    (V_E, 1)
linear_model.weight                     (numbers, 1), of dense features, which enter the linear term alone
out.bias                                (1,)

E is the feature's ``embedding_name``: mostly its name, but features may share one. Only a whole model tells: it has the
feature columns, named tuples that are read as stubs.

SparseFeat(name, vocabulary_size, embedding_dim, …, embedding_name, group_name)
VarLenSparseFeat(SparseFeat, maxlen, combiner, length_name, …)
DenseFeat(name, dimension, dtype)

A sequence is pooled by its combiner, in both parts. Id 0 is none of its values, unless ``length_name`` says how many
there are.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, claim
from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import FileTensor, read_number, read_shape
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.checkpoints.tools.field_tables import AnyField, NamedFields, named, pad_rows, read_tables
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, SharedField

_EMBEDDINGS = "embedding_dict.{}.weight"
_LINEAR = f"linear_model.{_EMBEDDINGS}"
_DENSE = "linear_model.weight"
_BIAS = "out.bias"
_TABLE = re.compile(r"(?:linear_model\.)?embedding_dict\.([^.]+)\.weight")

_CLASS = "deepctr_torch.models.deepfm.DeepFM"
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
    columns = _columns_of_tables(rows, numbers) if model is None else _columns_of_model(model, rows, numbers)
    fields = named(columns.fields, given.fields)
    fields = replace(fields, own={name: columns.tables.get(own, own) for name, own in fields.own.items()})
    _check_complete(fields, set(rows))
    linear, embeddings = read_tables(fields, weights, _LINEAR, _EMBEDDINGS)
    for row in pad_rows(fields.schema):  # never looked at, and left as it was drawn at random
        linear[row], embeddings[row] = 0, 0
    return FMCheckpoint(
        fields.schema,
        bias=read_number(weights, _BIAS),
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


def _numeric(fields: NamedFields, own: list[AnyField], weights: Mapping[str, FileTensor], dim: int) -> NumericWeights:
    dense = {field.name: row for row, field in enumerate(field for field in own if isinstance(field, NumericField))}
    if not dense:
        return NumericWeights.none(dim)
    values = read_shape(weights, _DENSE, (len(dense), 1))[:, 0]
    rows = [dense[fields.own[name]] for name in fields.schema.numeric_names]
    return NumericWeights(values[rows], np.zeros((len(dense), dim), np.float32))


@dataclass(frozen=True)
class _Columns:
    """The fields of a model in the order in which it takes them, and by the name of each that of its table."""

    fields: list[AnyField]
    tables: dict[str, str]


def _columns_of_tables(rows: Mapping[str, int], numbers: int) -> _Columns:
    """Return what a state_dict tells: a field of each table, and the dense ones."""
    dense = [NumericField(f"dense_{number}", linear_only=True) for number in range(numbers)]
    return _Columns([*(Field(name, size) for name, size in rows.items()), *dense], {})


def _columns_of_model(model: Stub, rows: Mapping[str, int], numbers: int) -> _Columns:
    """Return the feature columns of a whole model.

    A feature that has the ``embedding_name`` of an earlier one shares its table. Numbers of a dense feature of several
    are named ``name_0``, ``name_1``, ….
    """
    with damaged("its feature columns cannot be read"):
        fields: list[AnyField] = []
        owners: dict[str, str] = {}
        columns = _in_order(model, {_name(column): column for column in _all_columns(model)})
        _check_numbers(columns.values(), numbers)
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
    return _Columns(fields, {owner: table for table, owner in owners.items()})


def _all_columns(model: Stub) -> list[Stub]:
    """Return the columns of both parts; dense features of the pairwise part are left out, as only a DNN takes them."""
    parts = ("sparse_feature_columns", "dense_feature_columns", "varlen_sparse_feature_columns")
    linear = _linear_model(model)
    return [*(column for part in parts for column in _list(linear, part)), *_pairwise(model)]


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


def _in_order(model: Stub, columns: dict[str, Stub]) -> dict[str, Stub]:
    index = model.attributes.get("feature_index")
    order = index if isinstance(index, dict) else {}
    return {name: columns[name] for name in order if name in columns} | columns


def _check_numbers(columns: Iterable[Stub], numbers: int) -> None:
    """Check that dense features have as many numbers as there are weights, before fields are made of them."""
    found = sum(_dimension(column) for column in columns if column.class_name == _DENSE_FEAT)
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
        numbers = _dimension(column)
        names = [name] if numbers == 1 else [f"{name}_{number}" for number in range(numbers)]
        return [NumericField(each, linear_only=True) for each in names]
    table = _table(column)
    _check_table(name, table, rows)
    if table in owners:
        return [SharedField(name, owners[table])]
    owners[table] = name
    return [Field(name, rows[table])]


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
