"""Vocabularies: from the tokens of raw data to category ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fmcompress.arguments import checked_arguments
from fmcompress.errors import DataError, UsageError
from fmcompress.fm.field_vocabulary import FieldVocabulary, decode_fields, encode_fields
from fmcompress.fm.schema import MAX_CATEGORIES, Schema

UNKNOWN = "__OOV__"
"""In a vocabulary file the token whose id all unknown tokens get."""


@checked_arguments
@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The vocabularies of the categorical fields; a field without one takes ids only.

    Attributes:
        fields: by name; a field that shares a table and is not among them has that of its table.
    """

    fields: Mapping[str, FieldVocabulary] = field(default_factory=dict)

    @checked_arguments
    def of(self, name: str, schema: Schema) -> FieldVocabulary | None:
        """Return the vocabulary of a field, None where it has none."""
        if name in self.fields:
            return self.fields[name]
        tables = {sharing.name: sharing.table for sharing in schema.shared}
        return self.fields.get(tables.get(name, name))

    @checked_arguments
    def check(self, schema: Schema) -> None:
        """Raise UsageError where the vocabulary is not one of these fields: another name, an id out of range."""
        check_ids({name: own.extreme_ids for name, own in self.fields.items()}, schema)

    def encode(self) -> bytes:
        """Return the vocabulary as bytes, compressed; the same vocabulary gives the same bytes.

        Raises:
            UsageError: a token is too long, or there are too many fields.
        """
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return encode_fields(self.fields)

    @classmethod
    @checked_arguments
    def decode(cls, data: bytes) -> Vocabulary:
        """Return the vocabulary of bytes that ``encode`` made.

        Raises:
            ValueError: they are damaged, or claim to hold more than they can.
        """
        return cls(decode_fields(data))


def check_ids(fields: Mapping[str, Iterable[int]], schema: Schema) -> None:
    """Check that ids are those of categories.

    Args:
        fields: ids by the name of their field.
        schema: the fields of the model.

    Raises:
        UsageError: there is no such field, or an id is out of its range.
    """
    cardinalities = dict(zip(schema.id_names, schema.id_cardinalities.tolist(), strict=True))
    for name, ids in fields.items():
        if name not in cardinalities:
            raise UsageError(f"the vocabulary has a field {name[:80]!r}, the model has {_some(schema.id_names)}")
        for number in ids:
            if not 0 <= number < cardinalities[name]:
                raise UsageError(
                    f"the vocabulary of field {name!r} has id {number}, expected 0 to {cardinalities[name] - 1}"
                )


@checked_arguments
def read_vocabulary(path: str | Path) -> Vocabulary:
    """Read a vocabulary file: JSON ``{field: {token: id, …}, …}``; the token ``__OOV__`` has the id of unknown ones.

    Raises:
        DataError: there is no such file, or it holds no vocabulary.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: is no JSON ({str(error)[:80]})") from error
    if not isinstance(found, dict) or not all(isinstance(ids, dict) for ids in found.values()):
        raise DataError(f"{path}: is no vocabulary", hint='it looks like {"user": {"alice": 0, "bob": 1}}')
    for name, ids in found.items():
        for token, number in ids.items():
            if type(number) is not int or not 0 <= number < MAX_CATEGORIES:
                raise DataError(f"{path}: field {name!r}: token {token[:80]!r} has id {number!r}, expected a number")
    return Vocabulary({name: FieldVocabulary.of(ids, oov=ids.get(UNKNOWN)) for name, ids in found.items()})


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:8]) + (", …" if len(names) > 8 else "")
