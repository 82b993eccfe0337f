"""Columns of features of a DeepCTR-Torch model: which fields there are, in which order, and what takes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.checkpoints.tools.field_tables import AnyField
from fmcompress.errors import CheckpointError
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField

_EMBEDDINGS = "embedding_dict.{}.weight"
_DENSE = "linear_model.weight"


_SPARSE_FEAT = "deepctr_torch.inputs.SparseFeat"
_DENSE_FEAT = "deepctr_torch.inputs.DenseFeat"
_SEQUENCE_FEAT = "deepctr_torch.inputs.VarLenSparseFeat"
_COMBINER, _LENGTH_NAME = 2, 3
_COMBINERS = ("sum", "mean")
_PAD = 0


@dataclass(frozen=True)
class Columns:
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


def columns_of_tables(weights: Mapping[str, FileTensor], rows: Mapping[str, int], given: Schema | None) -> Columns:
    """Return what a state_dict tells: a field of each table, and the dense ones."""
    numbers = numbers_of(weights)
    linear = [f"dense_{number}" for number in range(numbers)]
    # Numbers that only dense layers take have no weights: of these the caller alone can tell.
    dense = linear or [f"dense_{number}" for number in range(0 if given is None else len(given.numeric))]
    fields: list[AnyField] = [Field(name, size) for name, size in rows.items()]
    return Columns(
        [*fields, *(NumericField(name, linear_only=True) for name in dense)],
        {},
        linear,
        [name for name in rows if _EMBEDDINGS.format(name) in weights],
        dense,
    )


def columns_of_model(model: Stub, rows: Mapping[str, int], numbers: int) -> Columns:
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
        return Columns(
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


def numbers_of(weights: Mapping[str, FileTensor]) -> int:
    """Return the number of dense values."""
    if _DENSE not in weights:
        return 0
    shape = weights[_DENSE].shape
    if len(shape) != 2 or shape[1] != 1:
        raise CheckpointError(f"{_DENSE!r} has shape {shape}, expected (numbers, 1)")
    return shape[0]
