"""Vocabularies: from the tokens of raw data to category ids."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.errors import DataError, UsageError
from fmcompress.schema import MAX_CATEGORIES, Schema

UNKNOWN = "__OOV__"
"""In a vocabulary file the token whose id all unknown tokens get."""

_COMPRESSION = 9
_MAX_EXPANSION = 1100
"""zlib makes no data larger than 1032 times: what declares more is damaged."""


@dataclass(frozen=True, eq=False)
class FieldVocabulary:
    """The tokens of one field.

    Attributes:
        tokens: the tokens; several may have one id.
        ids: their category ids, int32 (tokens,).
        oov: id of a token that is not among them; None where that is an error.
        missing: id of a null; None where it contributes nothing.
    """

    tokens: tuple[str, ...]
    ids: npt.NDArray[np.int32]
    oov: int | None = None
    missing: int | None = None

    @classmethod
    def of(cls, ids: Mapping[str, int], *, oov: int | None = None, missing: int | None = None) -> FieldVocabulary:
        """Return the vocabulary that a mapping from token to id describes."""
        return cls(tuple(ids), np.fromiter(ids.values(), np.int32, len(ids)), oov, missing)


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The vocabularies of the categorical fields; a field without one takes ids only.

    Attributes:
        fields: by name; a field that shares a table and is not among them has that of its table.
    """

    fields: Mapping[str, FieldVocabulary] = field(default_factory=dict)

    def of(self, name: str, schema: Schema) -> FieldVocabulary | None:
        """Return the vocabulary of a field, None where it has none."""
        if name in self.fields:
            return self.fields[name]
        tables = {sharing.name: sharing.table for sharing in schema.shared}
        return self.fields.get(tables.get(name, name))

    def check(self, schema: Schema) -> None:
        """Raise UsageError where the vocabulary is not one of these fields: another name, an id out of range."""
        cardinalities = dict(zip(schema.id_names, schema.id_cardinalities.tolist(), strict=True))
        for name, own in self.fields.items():
            if name not in cardinalities:
                raise UsageError(f"the vocabulary has a field {name!r}, the model has {_some(schema.id_names)}")
            largest = cardinalities[name] - 1
            special = [number for number in (own.oov, own.missing) if number is not None]
            for token, number in [*zip(own.tokens, own.ids.tolist(), strict=True), *((UNKNOWN, n) for n in special)]:
                if not 0 <= number <= largest:
                    raise UsageError(
                        f"the vocabulary of field {name!r} gives {token[:80]!r} id {number}, expected 0 to {largest}"
                    )

    def encode(self) -> bytes:
        """Return the vocabulary as bytes, compressed; the same vocabulary gives the same bytes."""
        text = json.dumps(
            [
                [name, own.oov, own.missing, own.ids[order].tolist(), [own.tokens[place] for place in order]]
                for name, own in self.fields.items()
                for order in [np.lexsort((np.array(own.tokens, dtype=object), own.ids)).tolist()]
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode("utf-8", errors="surrogatepass")
        return len(text).to_bytes(8, "little") + zlib.compress(text, _COMPRESSION)

    @classmethod
    def decode(cls, data: bytes) -> Vocabulary:
        """Return the vocabulary of bytes that ``encode`` made.

        Raises:
            ValueError: they are damaged, or claim to hold more than they can.
        """
        size = int.from_bytes(data[:8], "little")
        if len(data) < 8 or size > _MAX_EXPANSION * len(data):
            raise ValueError("a vocabulary claims to be larger than it can be")
        unpacker = zlib.decompressobj()
        try:
            text = unpacker.decompress(data[8:], size + 1)
        except zlib.error as error:
            raise ValueError(f"a vocabulary cannot be unpacked: {error}") from error
        if len(text) != size or not unpacker.eof or unpacker.unused_data:
            raise ValueError("a vocabulary has not the size that it claims")
        try:
            return cls(dict(_decoded(json.loads(text.decode("utf-8", errors="surrogatepass")))))
        except (TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"a vocabulary is damaged: {error}") from error


def _decoded(rows: Any) -> Iterator[tuple[str, FieldVocabulary]]:
    for name, oov, missing, ids, tokens in rows:
        numbers = [*ids, *(number for number in (oov, missing) if number is not None)]
        if not all(type(number) is int and 0 <= number < MAX_CATEGORIES for number in numbers):
            raise ValueError("a vocabulary has an id that is none")
        if not isinstance(name, str) or not all(isinstance(token, str) for token in tokens) or len(ids) != len(tokens):
            raise ValueError("a vocabulary has a token that is none")
        yield name, FieldVocabulary(tuple(tokens), np.array(ids, dtype=np.int32), oov, missing)


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
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
