"""Models that keep a table of its own for each field, under the field's name."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.checkpoints.files.tensor import FileTensor, check_shape, read_shape
from fmcompress.checkpoints.large_tables import left_in_file, stays_on_disk
from fmcompress.checkpoints.reading_errors import listed
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.disk_table import Table
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.types import Float32Array

AnyField = Field | SharedField | NumericField

_KINDS: Mapping[type[AnyField], str] = {Field: "with categories", SharedField: "shared", NumericField: "numeric"}
_MAX_GROWTH = 64
"""How many weights a model may have for each that is stored."""

_KEEP = "leave --fields out, or keep to the file's fields"


@dataclass(frozen=True)
class NamedFields:
    """The fields of a model, and what its file calls them.

    Attributes:
        schema: the fields, with the names that the caller gives them.
        own: name in the file, by name in the schema.
    """

    schema: Schema
    own: Mapping[str, str]

    def keys(self, pattern: str) -> list[str]:
        """Return the key of each field with a table, where ``{}`` in the pattern is the file's name of a field."""
        return [pattern.format(self.own[name]) for name in self.schema.names]

    def named(self, own: Sequence[str]) -> list[str]:
        """Return the names in the schema of fields by their names in the file.

        Raises:
            CheckpointError: there is no such field.
        """
        names = {name: given for given, name in self.own.items()}
        unknown = [name for name in own if name not in names]
        if unknown:
            raise CheckpointError(f"its feature {listed(unknown)} is in one part alone, or twice in one")
        return [names[name] for name in own]


def named(own: Iterable[AnyField], given: Schema | None) -> NamedFields:
    """Return the fields of a file, with the names and in the order that the caller gives them.

    Fields of one kind are matched by name where all their names are the file's, and else in order. Shared fields that
    the file knows nothing of are added.

    Args:
        own: the fields as the file describes them, in its order.
        given: the fields that the caller names, or None.

    Raises:
        CheckpointError: the fields make no schema, or those given are others.
    """
    schema = schema_of(own)
    if given is None:
        return NamedFields(schema, {name: name for name in schema.order})
    added = () if schema.shared else given.shared
    names = _matched(schema, [field for field in given.all_fields if field not in added])
    found = {field.name: field for field in schema.all_fields}
    agreed: dict[str, AnyField] = {field.name: field for field in added}
    for field in given.all_fields:
        if field.name in names:
            agreed[field.name] = _agreed(field, found[names[field.name]], names)
    return NamedFields(schema_of(agreed[name] for name in given.order), names)


def schema_of(fields: Iterable[AnyField]) -> Schema:
    """Return the schema of the fields of a file.

    Raises:
        CheckpointError: they make none.
    """
    try:
        return Schema.in_order(fields)
    except UsageError as error:
        raise CheckpointError(f"its fields make no model: {error}") from error


def _matched(own: Schema, given: Sequence[AnyField]) -> dict[str, str]:
    """Return the name in the file of each given field: fields of one kind by name, or else in order."""
    matched: dict[str, str] = {}
    for kind, shown in _KINDS.items():
        ours, theirs = ([field.name for field in fields if type(field) is kind] for fields in (own.all_fields, given))
        if len(ours) != len(theirs):
            known = f": {listed(ours)}" if ours else ""
            raise CheckpointError(
                f"it has {len(ours)} fields that are {shown}{known}, but --fields names {len(theirs)}", hint=_KEEP
            )
        pairs = zip(theirs, theirs if set(ours) == set(theirs) else ours, strict=True)
        matched |= dict(pairs)
    for name, own_name in matched.items():
        if name in own.order and name != own_name:
            raise CheckpointError(
                f"--fields names {listed([name])} where the file has {listed([own_name])}",
                hint="name all fields as the file does, or rename them in its order",
            )
    return matched


def _agreed(given: AnyField, own: AnyField, names: Mapping[str, str]) -> AnyField:
    """Return a field with the given name, and all else as it is in the file."""
    if isinstance(given, Field) and isinstance(own, Field):
        if given.cardinality != own.cardinality:
            raise CheckpointError(
                f"its field {own.name!r} has {own.cardinality:,} categories, but --fields says {given.cardinality:,}",
                hint=_KEEP,
            )
        return replace(given, pad=given.pad if own.pad is None else own.pad, pooling=_pooling(given, own))
    if isinstance(given, SharedField) and isinstance(own, SharedField):
        if names[given.table] != own.table:
            raise CheckpointError(f"its field {own.name!r} shares the table of {own.table!r}", hint=_KEEP)
        return replace(given, pooling=_pooling(given, own))
    if isinstance(given, NumericField) and isinstance(own, NumericField):
        if given.linear_only and not own.linear_only:
            raise CheckpointError(
                f"its numeric field {own.name!r} has an embedding", hint=f"write {given.name}:numeric"
            )
        return replace(given, linear_only=own.linear_only)
    raise CheckpointError(f"its field {own.name!r} is {_KINDS[type(own)]}, which --fields contradicts", hint=_KEEP)


def _pooling(given: Field | SharedField, own: Field | SharedField) -> Pooling | None:
    """Return how the values of a field are pooled: as the file says, or else as the caller does."""
    if own.pooling is not None and given.pooling not in (None, own.pooling):
        raise CheckpointError(f"its field {own.name!r} is pooled by {own.pooling}, not {given.pooling}", hint=_KEEP)
    return given.pooling if own.pooling is None else own.pooling


def pad_rows(schema: Schema) -> list[int]:
    """Return the rows of PAD in the tables of all fields."""
    firsts = zip(schema.offsets.tolist(), schema.fields, strict=True)
    return [first + field.pad for first, field in firsts if field.pad is not None]


def read_tables(
    fields: NamedFields, weights: Mapping[str, FileTensor], linear_pattern: str, pattern: str
) -> tuple[Float32Array, Table]:
    """Return w, float32 (categories,), and V, float32 (categories, dim), of all fields with tables.

    Where they are large, V stays in the file.

    Args:
        fields: the fields.
        weights: the file's tensors; a field that has no table of one kind has zeros there.
        linear_pattern: of the keys of linear weights, (cardinality, 1) each; ``{}`` is the field.
        pattern: of the keys of embeddings, (cardinality, dim) each.

    Raises:
        CheckpointError: shapes disagree.
    """
    linear_keys, keys = fields.keys(linear_pattern), fields.keys(pattern)
    dim = _common_dim({key: weights[key] for key in keys if key in weights})
    schema = fields.schema
    _check_growth(schema.flat_rows * dim, weights)
    linear = _stacked(schema, weights, linear_keys, 1)[:, 0]
    if not stays_on_disk(schema.categories, dim):
        return linear, _stacked(schema, weights, keys, dim)
    sizes = schema.cardinalities.tolist()
    for key, size in zip(keys, sizes, strict=True):
        if key in weights:
            check_shape(weights, key, (size, dim))
    return linear, left_in_file(weights, [k if k in weights else n for k, n in zip(keys, sizes, strict=True)], dim)


def _stacked(schema: Schema, weights: Mapping[str, FileTensor], keys: Sequence[str], width: int) -> Float32Array:
    """Return the tables of all fields, float32 (categories, width), with zeros where there is none."""
    found = np.zeros((schema.categories, width), np.float32)
    for number, key in enumerate(keys):
        if key in weights:
            found[schema.rows(number)] = read_shape(weights, key, (schema.fields[number].cardinality, width))
    return found


def _check_growth(numbers: int, weights: Mapping[str, FileTensor]) -> None:
    """Check that a model is not much larger than its file, where tables may be missing."""
    stored = sum(math.prod(tensor.shape) for tensor in weights.values())
    if numbers > _MAX_GROWTH * stored:
        raise CheckpointError(f"its fields would have {numbers:,} weights, but it has {stored:,} only")


def _common_dim(tables: Mapping[str, FileTensor]) -> int:
    if not tables:
        raise CheckpointError("it has no embeddings: it is a linear model")
    first = next(iter(tables))
    for key, table in tables.items():
        if len(table.shape) != 2 or table.shape[1:] != tables[first].shape[1:]:
            raise CheckpointError(
                f"{listed([first])} has shape {tables[first].shape} and {listed([key])} {table.shape}, "
                "expected (categories, dim) with one dim for all fields"
            )
    return tables[first].shape[1]


def padded(schema: Schema, linear: Float32Array, embeddings: Table, pads: Mapping[str, int | None]) -> Schema:
    """Return the schema with the PAD of each field whose row is zero: one that is not has been trained.

    Args:
        schema: the fields.
        linear: w, float32 (categories,).
        embeddings: V, float32 (categories, dim).
        pads: id of PAD, by name of the field.
    """
    first_rows = dict(zip(schema.names, schema.offsets.tolist(), strict=True))

    def with_pad(field: AnyField) -> AnyField:
        pad = pads.get(field.name)
        if not isinstance(field, Field) or pad is None or pad >= field.cardinality:
            return field
        row = first_rows[field.name] + pad
        # Not any(), which warns of NaNs of some kind.
        return field if linear[row] or np.count_nonzero(embeddings[row]) else replace(field, pad=pad)

    return Schema.in_order(with_pad(field) for field in schema.all_fields)
