"""The feature columns that a whole model of DeepCTR-Torch holds: named tuples, read as stubs.

SparseFeat(name, vocabulary_size, embedding_dim, …, embedding_name, group_name)
DenseFeat(name, dimension, dtype)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fmcompress.checkpoints.dialect import listed
from fmcompress.checkpoints.files.state_dict import submodule
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.checkpoints.tools.field_tables import AnyField
from fmcompress.errors import CheckpointError
from fmcompress.fm.schema import Field, NumericField, SharedField

_SPARSE = "deepctr_torch.inputs.SparseFeat"
_DENSE = "deepctr_torch.inputs.DenseFeat"
_SEQUENCE = "deepctr_torch.inputs.VarLenSparseFeat"


@dataclass(frozen=True)
class Columns:
    """The feature columns of a model.

    Attributes:
        fields: its fields, in the order in which it takes them.
        tables: name of the table of each field in the model's keys.
    """

    fields: list[AnyField]
    tables: dict[str, str]


def columns_of(model: Stub, rows: Mapping[str, int], numbers: int) -> Columns:
    """Return the feature columns of a whole model.

    A feature that has the ``embedding_name`` of an earlier one shares its table. Numbers of a dense feature of several
    are named ``name_0``, ``name_1``, ….

    Args:
        model: the model.
        rows: rows of its tables, by name.
        numbers: how many numbers it has weights for.

    Raises:
        CheckpointError: a feature is a sequence or has no table, there are more numbers or fewer, or a column cannot be
            read.
    """
    with damaged("its feature columns cannot be read"):
        fields: list[AnyField] = []
        owners: dict[str, str] = {}
        columns = _in_order(model, {_name(column): column for column in _columns(model)})
        _check_numbers(columns.values(), numbers)
        for name, column in columns.items():
            fields.extend(_fields(name, column, owners, rows))
        if any(isinstance(field, SharedField) for field in fields):
            _check_same_parts(model)
    return Columns(fields, {owner: table for table, owner in owners.items()})


def _columns(model: Stub) -> list[Stub]:
    """Return the columns of both parts; dense features of the pairwise part are left out, as only a DNN takes them."""
    linear = _linear_model(model)
    parts = ("sparse_feature_columns", "dense_feature_columns", "varlen_sparse_feature_columns")
    return [*(column for part in parts for column in _list(linear, part)), *_pairwise(model)]


def _pairwise(model: Stub) -> list[Stub]:
    return [column for column in _list(model, "dnn_feature_columns") if column.class_name != _DENSE]


def _check_same_parts(model: Stub) -> None:
    """Check that both parts take the same features: one that is in a single part must have a table of its own."""
    linear = {_name(column) for column in _list(_linear_model(model), "sparse_feature_columns")}
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
    args = column.args
    first = args[0] if isinstance(args, tuple) else None
    if isinstance(first, Stub):
        return _name(first) if column.class_name == _SEQUENCE and first.class_name == _SPARSE else ""
    if not isinstance(first, str):
        raise TypeError("a column has no name")
    return first


def _in_order(model: Stub, columns: dict[str, Stub]) -> dict[str, Stub]:
    index = model.attributes.get("feature_index")
    order = index if isinstance(index, dict) else {}
    return {name: columns[name] for name in order if name in columns} | columns


def _check_numbers(columns: Iterable[Stub], numbers: int) -> None:
    """Check that dense features have as many numbers as there are weights, before fields are made of them."""
    found = sum(_dimension(column) for column in columns if column.class_name == _DENSE)
    if found != numbers:
        raise CheckpointError(f"it has weights of {numbers:,} numbers, but its dense feature columns have {found:,}")


def _dimension(column: Stub) -> int:
    dimension = column.args[1] if isinstance(column.args, tuple) else None
    if type(dimension) is not int or dimension < 1:
        raise ValueError("a dense feature has no dimension")
    return dimension


def _fields(name: str, column: Stub, owners: dict[str, str], rows: Mapping[str, int]) -> list[AnyField]:
    """Return the fields of a column; ``owners`` gets the field of each table."""
    if column.class_name == _SEQUENCE:
        raise CheckpointError(
            f"it is no plain factorization machine: its feature {listed([name])} is a sequence (VarLenSparseFeat)"
        )
    if column.class_name == _DENSE:
        numbers = _dimension(column)
        names = [name] if numbers == 1 else [f"{name}_{number}" for number in range(numbers)]
        return [NumericField(each, linear_only=True) for each in names]
    table = column.args[-2] if column.class_name == _SPARSE and isinstance(column.args, tuple) else None
    if not isinstance(table, str):
        raise TypeError("a column is of an unknown kind")
    if table not in rows:
        raise CheckpointError(f"its feature {listed([name])} has no table {listed([table])}")
    if table in owners:
        return [SharedField(name, owners[table])]
    owners[table] = name
    return [Field(name, rows[table])]
