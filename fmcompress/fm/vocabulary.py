"""Vocabularies: from the tokens or the keys of raw data to category ids."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.field_keys import FieldKeys, decode_keys, encode_keys
from fmcompress.fm.field_vocabulary import FieldVocabulary, decode_fields, encode_fields, largest_ids
from fmcompress.fm.schema import Schema

UNKNOWN = "__OOV__"
"""In a vocabulary file the token whose id all unknown tokens get."""

Bytes = bytes | memoryview
_T = TypeVar("_T")


@checked_arguments
@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The vocabularies of the categorical fields; a field without one takes ids only.

    Attributes:
        fields: by name, the tokens of each or its keys; a field that shares a table and is not among them has those of
            its table.
    """

    fields: Mapping[str, FieldVocabulary | FieldKeys] = field(default_factory=dict)

    @checked_arguments
    def of(self, name: str, schema: Schema) -> FieldVocabulary | FieldKeys | None:
        """Return the tokens or the keys of a field, None where it has none."""
        if name in self.fields:
            return self.fields[name]
        tables = {sharing.name: sharing.table for sharing in schema.shared}
        return self.fields.get(tables.get(name, name))

    @checked_arguments
    def check(self, schema: Schema) -> None:
        """Raise UsageError where the vocabulary is not one of these fields: another name, an id out of range."""
        check_ids({name: own.extreme_ids for name, own in self.fields.items()}, schema)

    @property
    def keys(self) -> dict[str, FieldKeys]:
        """The fields with keys, in the order of their names."""
        return {name: own for name, own in sorted(self.fields.items()) if isinstance(own, FieldKeys)}

    @property
    def tokens(self) -> dict[str, FieldVocabulary]:
        """The fields with tokens, in the order of their names."""
        return {name: own for name, own in sorted(self.fields.items()) if isinstance(own, FieldVocabulary)}

    @property
    def nbytes(self) -> int:
        """Size of what ``encode`` returns."""
        return sum(map(len, self.pieces()))

    @property
    def sha256(self) -> str:
        """SHA-256 of what ``encode`` returns, in hex."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(piece)
        return digest.hexdigest()

    def encode(self) -> bytes:
        """Return the vocabulary as bytes, tokens compressed; the same vocabulary gives the same bytes.

        Raises:
            UsageError: a token is too long, or there are too many fields.
        """
        return b"".join(self.pieces())

    def pieces(self) -> list[Bytes]:
        """Return what ``encode`` returns in pieces, of which keys are not copied."""
        keys = encode_keys(self.keys) if self.keys else []
        return [*keys, self._packed_tokens] if self.tokens or not keys else keys

    @cached_property
    def _packed_tokens(self) -> bytes:
        return encode_fields(self.tokens)

    @classmethod
    @checked_arguments
    def decode(cls, data: bytes | memoryview) -> Vocabulary:
        """Return the vocabulary of bytes that ``encode`` made; keys are used where they lie.

        Raises:
            ValueError: they are damaged, or claim to hold more than they can.
        """
        keys, rest = decode_keys(data)
        tokens = _apart(keys, decode_fields(rest) if len(rest) or not keys else {})
        return cls({**keys, **tokens})


def stored_ids(data: Bytes) -> dict[str, list[int]]:
    """Return for each field of a vocabulary its extreme ids, after checking all the rest, without holding its tokens.

    Raises:
        ValueError: the bytes are damaged, or claim to hold more than they can.
    """
    keys, rest = decode_keys(data)
    tokens = largest_ids(rest) if len(rest) or not keys else {}
    return {**{name: own.extreme_ids for name, own in keys.items()}, **_apart(keys, tokens)}


def _apart(keys: Mapping[str, FieldKeys], tokens: dict[str, _T]) -> dict[str, _T]:
    if keys.keys() & tokens:
        raise ValueError("a vocabulary is damaged: a field has keys and tokens")
    return tokens


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


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:8]) + (", …" if len(names) > 8 else "")
