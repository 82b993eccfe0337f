"""Columns of a Parquet file: matched to the fields of a schema, and checked for their types."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from fmcompress.data.options import Match
from fmcompress.errors import DataError
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary

_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_SHOWN_COLUMNS = 12
_AS_THEY_STAND = "--match order takes the columns as they stand"


def match_columns(
    file: str,
    found: pa.Schema,
    schema: Schema,
    *,
    vocabulary: Vocabulary,
    label: str | None,
    match: Match,
    skip: str,
) -> list[str]:
    """Return the column of each field: those of ``schema.id_names``, then those of ``schema.numeric_names``.

    Args:
        file: name of the file, for messages.
        found: columns of the file.
        schema: the fields.
        vocabulary: tokens of the fields that may have columns of strings.
        label: column of the labels; None where labels are not wanted.
        match: whether columns belong to fields by name or, ``skip`` left out, by their order.
        skip: column that is no field.

    Raises:
        DataError: a column is missing, there twice, or of the wrong type.
    """
    if label is not None:
        check_label(file, label, found)
    columns = list(schema.order) if match == "name" else candidates(found, skip)
    if len(columns) != len(schema.order):
        raise DataError(
            f"{file}: has {len(columns)} columns beside the label, expected one for each of {len(schema.order)} fields",
            hint="name the column of the labels with --label" if skip not in found.names else None,
        )
    if label in columns:
        raise DataError(f"{file}: column {label!r} holds the labels and is a field too", hint="choose another --label")
    of = dict(zip(schema.order, columns, strict=True))
    for name in schema.id_names:
        check = check_integer if vocabulary.of(name, schema) is None else check_tokens
        check(file, of[name], found, missing=_AS_THEY_STAND)
    for name in schema.numeric_names:
        _check_numeric(file, of[name], found)
    return [of[name] for name in (*schema.id_names, *schema.numeric_names)]


def candidates(found: pa.Schema, label: str) -> list[str]:
    """Return the columns that can be fields: all but the label and an index that pandas wrote."""
    return [name for name in found.names if name != label and not _PANDAS_INDEX.fullmatch(name)]


def check_label(file: str, label: str, found: pa.Schema) -> None:
    """Raise DataError where the label column is missing, there twice, or can hold no numbers."""
    kind = _type_of(file, label, found, what="label column", missing="name it with --label")
    if not _is_numeric(kind):
        raise DataError(f"{file}: label column {label!r} is of type {kind}, expected numbers")


def check_integer(file: str, name: str, found: pa.Schema, *, missing: str | None = None) -> None:
    """Raise DataError where a field's column is missing, which ``missing`` is a hint for, there twice, or of no ids."""
    kind = _type_of(file, name, found, missing=missing)
    if not pa.types.is_integer(kind):
        hints: dict[Callable[[Any], bool], str] = {
            pa.types.is_floating: "cast it to integers, missing values to null",
            has_tokens: "number its categories from 0 on, or give the model their vocabulary (--vocab FILE)",
        }
        hint = next((hint for of_kind, hint in hints.items() if of_kind(kind)), "number its categories from 0 on")
        raise DataError(f"{file}: column {name!r} is of type {kind}, expected integers (category ids)", hint=hint)


def check_tokens(file: str, name: str, found: pa.Schema, *, missing: str | None = None) -> None:
    """Raise DataError where the column of a field with a vocabulary is missing, or holds neither ids nor tokens."""
    kind = _type_of(file, name, found, missing=missing)
    if not (pa.types.is_integer(kind) or has_tokens(kind)):
        raise DataError(
            f"{file}: column {name!r} is of type {kind}, expected integers (category ids) or strings (tokens)"
        )


def has_tokens(kind: pa.DataType) -> bool:
    """Return whether a type is one of strings, or of a dictionary of strings."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    # By its name: is_string_view is not in all versions of pyarrow.
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def _check_numeric(file: str, name: str, found: pa.Schema) -> None:
    kind = _type_of(file, name, found, missing=_AS_THEY_STAND)
    if not _is_numeric(kind):
        raise DataError(f"{file}: column {name!r} is of type {kind}, expected numbers: the field is numeric")


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _type_of(
    file: str, name: str, found: pa.Schema, *, missing: str | None, what: str = "column of field"
) -> pa.DataType:
    """Return the type of a column that must be there, once."""
    if name not in found.names:
        more = ", …" if len(found.names) > _SHOWN_COLUMNS else ""
        raise DataError(
            f"{file}: {what} {name!r} is missing, found {', '.join(found.names[:_SHOWN_COLUMNS])}{more}", hint=missing
        )
    if found.names.count(name) > 1:
        raise DataError(f"{file}: two columns are named {name!r}")
    return found.field(name).type
