"""Files that a reader must refuse, though the seal of all but the first few fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from docs.golden.models import Golden, Table
from fmcompress.artifact.io import sealed_bytes
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import NumericField, SharedField
from fmcompress.fm.vocabulary import Vocabulary

Edit = Callable[[dict[str, Any], dict[str, Any], dict[str, bytearray]], None]
"""Changes metadata, header and tensors in place."""

_ITEM_BYTES = {"F32": 4, "F16": 2, "U8": 1}
_HEX = 64
_SOUND = Golden(
    "what the others were made of",
    2,
    (
        Table("a", "5 1x3:8 3 | 4 raw:8 raw | 3 raw raw", 2),
        Table("b", "3 raw raw"),
        SharedField("c", "a"),
        NumericField("n"),
        Table("d", "2 raw:32 raw"),
    ),
    vocabulary={"a": FieldVocabulary.of({"x": 1, "y": 11})},
)


def refused() -> dict[str, tuple[str, bytes]]:
    """Return why each file must be refused, and its bytes, by name; the first one, ``sound``, is sound."""
    sound = sealed_bytes(_SOUND.packed("refused"))
    found = {"sound": (_SOUND.describes, sound)}
    found |= {name: (why, change(sound)) for name, (why, change) in _CHANGED.items()}
    found |= {name: (why, _edited(sound, edit)) for name, (why, edit) in _EDITED.items()}
    return found


def _edited(data: bytes, edit: Edit) -> bytes:
    """Return an artifact that was changed, its seal set right."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    metadata = json.loads(header["__metadata__"]["fmcompress"])
    start, tensors = 8 + length, {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            tensors[name] = bytearray(data[start + first : start + end])
    edit(metadata, header, tensors)
    metadata["sha256"] = "0" * _HEX
    header["__metadata__"]["fmcompress"] = json.dumps(metadata, separators=(",", ":"), sort_keys=True)
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    unsealed = len(raw).to_bytes(8, "little") + raw + b"".join(tensors.values())
    return unsealed.replace(b"0" * _HEX, hashlib.sha256(unsealed).hexdigest().encode())


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _twice(data: bytes) -> bytes:
    """Return an artifact whose header says bias twice, with a seal that fits."""
    length = int.from_bytes(data[:8], "little")
    text = data[8 : 8 + length].rstrip()
    raw = text[:-1] + b',"bias":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    seal = json.loads(json.loads(text)["__metadata__"]["fmcompress"])["sha256"].encode()
    unsealed = (len(raw).to_bytes(8, "little") + raw + data[8 + length :]).replace(seal, b"0" * _HEX)
    return unsealed.replace(b"0" * _HEX, hashlib.sha256(unsealed).hexdigest().encode())


def _metadata(key: str, value: Any) -> Edit:
    def edit(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
        metadata[key] = value

    return edit


def _entry(field: int, *place: int, value: Any) -> Edit:
    """Return what sets a part of the entry of a field, at a place within it."""

    def edit(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
        entry = metadata["fields"][field]
        for step in place[:-1]:
            entry = entry[step]
        entry[place[-1]] = value

    return edit


def _byte(tensor: str, at: int, *values: int) -> Edit:
    def edit(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
        tensors[tensor][at : at + len(values)] = bytes(values)

    return edit


def _header(tensor: str, key: str, value: Any) -> Edit:
    def edit(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
        header[tensor][key] = value

    return edit


def _huge(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
    metadata["fields"][1][2] = 2**62
    metadata["dim"] = 2**16


def _tables(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
    metadata |= {"schema_version": 2, "content": "tables"}


def _claims_more(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
    tensors["vocabulary"][:8] = (2**40).to_bytes(8, "little")


_TOKENS = Vocabulary({"a": FieldVocabulary.of({"x": 1})})


def _keyed(change: Callable[[bytes], bytes]) -> Edit:
    """Put keys in place of tokens, and change these."""

    def edit(metadata: dict[str, Any], header: dict[str, Any], tensors: dict[str, bytearray]) -> None:
        keys = FieldKeys.of(np.arange(100), np.arange(100) % 12, check_bits=8)
        data = change(Vocabulary({"a": keys}).encode())
        start, _ = header["vocabulary"]["data_offsets"]
        header["vocabulary"] |= {"shape": [len(data)], "data_offsets": [start, start + len(data)]}
        tensors["vocabulary"][:] = data

    return edit


def _crowded(keys: bytes) -> bytes:
    """Let the first bucket have all keys, and the others none."""
    start = 16 + int.from_bytes(keys[8:16], "little") + 24
    bits = np.packbits([1] * 100 + [0] * 100, bitorder="little").tobytes()
    return keys[:start] + bits + keys[start + len(bits) :]


_CHANGED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "empty": ("it has no bytes", lambda data: b""),
    "cut-short": ("its last byte is missing", lambda data: data[:-1]),
    "one-more": ("it has one byte more", lambda data: data + b"\0"),
    "seal": ("a bit of its last byte was turned", _flipped),
    "header-too-long": ("N is larger than the file", lambda data: (2**63).to_bytes(8, "little") + data[8:]),
    "key-twice": ("a key of the header occurs twice", _twice),
}

_INF, _NAN = (np.float32(number).tobytes() for number in (np.inf, np.nan))
_EDITED: dict[str, tuple[str, Edit]] = {
    "newer-version": ("schema_version is 3", _metadata("schema_version", 3)),
    "tables": ("it says that it holds tables, not a factorization machine", _tables),
    "version-true": ("schema_version is no number", _metadata("schema_version", True)),
    "unknown-link": ("there is no such link", _metadata("link", "softmax")),
    "clip-reversed": ("the limits of a clip are the wrong way round", _metadata("link", "clip:2:1")),
    "dim-zero": ("dim is 0", _metadata("dim", 0)),
    "no-cat": ("no field is cat", _metadata("fields", [["n", "num"]])),
    "unknown-kind": ("there is no such kind of field", _entry(3, 1, value="text")),
    "unknown-pooling": ("there is no such pooling", _entry(1, 1, value="cat:max")),
    "misspelt-pooling": ("a pooling is not written as it must be", _entry(2, 1, value="as:mean/mean")),
    "empty-pooling": ("a pooling has no name", _entry(1, 1, value="cat:")),
    "each-pooling": (
        "each value counts, but linear weights are averaged",
        _entry(1, 1, value="cat:each/mean"),
    ),
    "numeric-pooling": ("a numeric field has a pooling", _entry(3, 1, value="num:sum")),
    "name-twice": ("two fields have one name", _entry(3, 0, value="b")),
    "as-nothing": ("an as field names no cat field", _entry(2, 2, value="n")),
    "pad-outside": ("PAD is no category", _entry(0, 2, 1, value=12)),
    "no-categories": ("a cardinality is 0", _entry(1, 2, value=0)),
    "sizes": ("sizes of tiers do not add up to the cardinality", _entry(0, 3, 0, 0, value=6)),
    "overflow": ("cardinality times l exceeds 64 bits", _huge),
    "too-many-codewords": ("a codebook of 5000 codewords", _entry(0, 3, 0, 1, value="1x5000:8")),
    "misspelt-quantizer": ("a quantizer is not spelt as it must be", _entry(1, 3, value="1x1")),
    "more-subspaces-than-l": ("D is larger than l", _entry(0, 3, 0, 1, value="3x3:8")),
    "dtype": ("a tensor has another dtype", _header("codes", "dtype", "I8")),
    "offsets": ("a tensor does not begin where the one before ends", _header("values", "data_offsets", [0, 34])),
    "infinite-bias": ("bias is infinite", _byte("bias", 0, *_INF)),
    "nan-numeric": ("a numeric weight is NaN", _byte("numeric", 0, *_NAN)),
    "nan-value": ("a value is NaN", _byte("values", 8, 0, 0x7E)),
    "negative-scale": ("a scale is negative", _byte("values", 0, 0, 0x80)),
    "int8-128": ("a number in int8 is -128", _byte("codes", 3, 0x80)),
    "nan-fp32": ("a number in fp32 is NaN", _byte("codes", 35, *_NAN)),
    "infinite-fp32": ("a linear weight in fp32 is infinite", _byte("codes", 43, *_INF)),
    "tier-counts": ("a tier has not as many categories as its entry says", _byte("codes", 0, 0, 0, 0)),
    "no-such-tier": ("the stream names a tier that does not exist", _byte("codes", 0, 0xFF)),
    "no-such-codeword": ("a code names a codeword that does not exist", _byte("codes", 12, 0xFF)),
    "vocabulary-claims": ("a vocabulary claims to be larger than it can be", _claims_more),
    "keys-claim": ("the head of keys claims to be larger than the file", _keyed(lambda keys: keys[:8] + b"\xff" * 8)),
    "keys-cut": ("keys have not the size that they say", _keyed(lambda keys: keys[:-1])),
    "keys-twice": ("a field has keys and tokens", _keyed(lambda keys: keys + _TOKENS.encode())),
    "keys-crowded": ("a bucket of keys has more than 63", _keyed(_crowded)),
    "vocabulary-damaged": ("a vocabulary cannot be unpacked", _byte("vocabulary", 8, 0xFF)),
}
