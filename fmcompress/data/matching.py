"""Columns of a file matched to the fields of a schema: none is missing, and each can hold what it is to hold."""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa

from fmcompress.data.columns import has_tokens
from fmcompress.data.list_columns import is_list, value_types
from fmcompress.data.numbers import holds_numbers
from fmcompress.data.options import DataOptions
from fmcompress.errors import DataError
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary

# As pandas writes it into Parquet, into CSV, and reads it from there.
_INDEX = re.compile(r"__index_level_\d+__||Unnamed: \d+")
_SHOWN_COLUMNS = 12
_AS_THEY_STAND = "--match order takes the columns as they stand"


def match_columns(
    file: str, found: pa.Schema, schema: Schema, options: DataOptions, vocabulary: Vocabulary, *, labelled: bool
) -> list[str]:
    """Return the columns of ``schema.id_names``, of ``schema.numeric_names``, and that of the labels if it is wanted.

    Args:
        file: name of the file, for messages.
        found: columns of the file.
        schema: the fields.
        options: whether columns belong to fields by name or, the label left out, by their order.
        vocabulary: tokens of the fields that may have columns of strings, and keys.
        labelled: whether labels are wanted.

    Raises:
        DataError: a column is missing, there twice, or of the wrong type.
    """
    label = options.label
    if labelled:
        check_label(file, label, found)
    columns = list(schema.order) if options.match == "name" else candidates(found, label)
    if len(columns) != len(schema.order):
        raise DataError(
            f"{file}: has {len(columns)} columns beside the label, expected one for each of {len(schema.order)} fields",
            hint="name the column of the labels with --label" if label not in found.names else None,
        )
    if labelled and label in columns:
        raise DataError(f"{file}: column {label!r} holds the labels and is a field too", hint="choose another --label")
    of = dict(zip(schema.order, columns, strict=True))
    for name in schema.id_names:
        several = name in schema.poolings
        own = vocabulary.of(name, schema)
        if own is None:
            check_integer(file, of[name], found, missing=_AS_THEY_STAND, several=several)
        else:
            keys = isinstance(own, FieldKeys)
            expected = "integers (64-bit keys)" if keys else "integers (category ids) or strings (tokens)"
            fits = _is_number_or_text
            _check(file, of[name], found, _of_values(fits) if several else fits, expected, missing=_AS_THEY_STAND)
    for name in schema.numeric_names:
        expected = "numbers: the field is numeric"
        _check(file, of[name], found, holds_numbers, expected, missing=_AS_THEY_STAND)
    return [*(of[name] for name in (*schema.id_names, *schema.numeric_names)), *([label] if labelled else [])]


def kept_columns(file: str, found: pa.Schema, keep: Sequence[str]) -> pa.Schema:
    """Return names and types of the columns that are carried along, of any type.

    Args:
        file: name of the file, for messages.
        found: columns of the file.
        keep: their names.

    Raises:
        DataError: a column is missing or there twice.
    """
    for name in keep:
        _check(file, name, found, lambda _: True, "any", what="column to keep", missing=None)
    return pa.schema([pa.field(name, found.field(name).type) for name in keep])


def candidates(found: pa.Schema, label: str) -> list[str]:
    """Return the columns that can be fields: all but the label and an index that pandas wrote."""
    return [name for name in found.names if name != label and not _INDEX.fullmatch(name)]


def check_label(file: str, label: str, found: pa.Schema) -> None:
    """Raise DataError where the label column is missing, there twice, or can hold no numbers."""
    _check(file, label, found, _is_number_or_text, "numbers", what="label column", missing="name it with --label")


def check_integer(file: str, name: str, found: pa.Schema, *, missing: str | None = None, several: bool = False) -> None:
    """Raise DataError where a field's column is missing, there twice, or of no ids.

    Args:
        file: name of the file, for messages.
        name: of the column.
        found: columns of the file.
        missing: hint where it is missing.
        several: whether it may have several values in a row.
    """
    fits = _of_values(holds_numbers) if several else holds_numbers
    _check(file, name, found, fits, "integers (category ids)", missing=missing, hint=_numbering)


def _of_values(fits: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    """Return whether the values of a column, which may be lists of them, are of a type that fits."""

    def of_values(kind: pa.DataType) -> bool:
        values, weights = value_types(kind)
        return fits(values) and (weights is None or holds_numbers(weights))

    return of_values


def _check(
    file: str,
    name: str,
    found: pa.Schema,
    fits: Callable[[pa.DataType], bool],
    expected: str,
    *,
    missing: str | None,
    what: str = "column",
    hint: Callable[[pa.DataType], str | None] = lambda _: None,
) -> None:
    """Raise DataError where a column is missing, there twice, or of a type that does not fit."""
    if name not in found.names:
        who = "column of field" if what == "column" else what
        more = ", …" if len(found.names) > _SHOWN_COLUMNS else ""
        shown = ", ".join(found.names[:_SHOWN_COLUMNS]) + more
        raise DataError(f"{file}: {who} {name!r} is missing, found {shown}", hint=missing)
    if found.names.count(name) > 1:
        raise DataError(f"{file}: two columns are named {name!r}")
    kind = found.field(name).type
    if not fits(kind):
        raise DataError(f"{file}: {what} {name!r} is of type {kind}, expected {expected}", hint=hint(kind))


def _numbering(kind: pa.DataType) -> str:
    """Return what to do with a column that holds no ids."""
    if is_list(kind):
        return "there is one value per field in a row, unless --fields says how several are pooled: genres:18:mean"
    return "number its categories from 0 on" + (
        ", or give the model their vocabulary (--vocab FILE)" if has_tokens(kind) else ""
    )


def _is_number_or_text(kind: pa.DataType) -> bool:
    return holds_numbers(kind) or has_tokens(kind)
