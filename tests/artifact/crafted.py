"""Artifacts made by hand, with a correct seal around whatever stands in them."""

import hashlib
import json

import numpy as np

from fmcompress.artifact import with_vocabulary
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from tests.mixed import mixed, vocabulary_of
from tests.models import origin, pack_model, packed

SEAL = "5" * 64
"""A SHA-256 of nothing in particular."""

LIBRARIES = [
    {}, {"faiss": "1.15.1", "numpy": "2.4.6"}, {"torch": "2.13.0+cpu"}, {"a b": "1"}, {"a": "1, b 2"}, {"a": ""},
    {"größe": "\n"},
]  # fmt: skip
"""Versions that libraries of an artifact may have, some of them odd."""

METADATA = {
    "schema_version": 1,
    "link": "sigmoid",
    "dim": 4,
    "fields": [["a", "cat", 9, "2x3", "4", 0.0], ["b", "cat", 2, "raw", "raw", 0.0]],
    "budget": 10_000,
    "method": "auto",
    "seed": 0,
    "source": [],
    "libraries": {},
    "quality": {},
    "sha256": "0" * 64,
}
TIERED = {
    "dim": 2,
    "fields": [["a", "cat", 5, [[2, "raw:8", "raw", 0.0], [2, "raw", "raw", 0.0], [1, "shared", "shared", 0.0]]]],
}
"""Metadata of ten bits of tiers, six numbers in int8 with two scales, and nine numbers in fp16."""

KINDS = (
    ["price", "num"],
    ["a", "cat", [9, 0], "2x3", "4", 0.0],
    ["c", "as", "a"],
    ["b", "cat", 2, "raw", "raw", 0.0],
    ["age", "lin"],
)
"""Entries of fields of every kind, with the same tables as ``METADATA``, and six numeric weights."""

LAYERS = ["deepfm", [2, "relu", 8], [1, "identity", 16]]
"""Dense layers on top of the fields of ``METADATA``: 8 numbers go in."""

VALUES = 3 * 4 + 4 + 2 * 4 + 2
CODES = (9 * 6 + 7) // 8


ITEM_BYTES = {"F32": 4, "F16": 2, "U8": 1}


def craft(*, metadata=None, layout=None, more=None, **tensors):
    """Return the bytes of a file whose seal fits.

    Args:
        metadata: entries to replace.
        layout: what becomes of the header; a function from dict to dict.
        more: text of the whole metadata, in place of ``METADATA``.
        tensors: bytes of tensors; ``numeric``, ``network`` and ``vocabulary`` are left out where they are not given.
    """
    text = json.dumps({**METADATA, **(metadata or {})}) if more is None else more
    usual = {"bias": b"\0" * 4, "numeric": None, "values": b"\0\0" * VALUES, "codes": b"\0" * CODES}
    usual |= {"network": None, "vocabulary": None}
    given = {name: data for name, data in (usual | tensors).items() if data is not None}
    dtypes = {"bias": "F32", "numeric": "F32", "values": "F16"}
    header, start = {"__metadata__": {"fmcompress": text}}, 0
    for name, data in given.items():
        dtype, end = dtypes.get(name, "U8"), start + len(data)
        header[name] = {"dtype": dtype, "shape": [len(data) // ITEM_BYTES[dtype]], "data_offsets": [start, end]}
        start = end
    raw = json.dumps(layout(header) if layout else header).encode()
    return sealed(len(raw).to_bytes(8, "little") + raw + b"".join(given.values()))


def craft_kinds(*, fields=KINDS, numeric=(0.5, 1, 0, 0, 2, -0.25), vocabulary=None, **entries):
    """Return the bytes of a file with fields of every kind, whose seal fits.

    Args:
        fields: entries of the fields.
        numeric: numbers of the tensor.
        vocabulary: bytes of the tensor; those of a vocabulary of the fields a and c where nothing is said.
        entries: of the metadata.
    """
    if vocabulary is None:
        tokens = {"a": FieldVocabulary.of({"x": 1, "y": 8}, oov=0), "c": FieldVocabulary.of({"z": 8}, missing=3)}
        vocabulary = Vocabulary(tokens).encode()
    numbers = np.array(numeric, dtype="<f4").tobytes()
    return craft(metadata={"fields": list(fields), **entries}, numeric=numbers, vocabulary=vocabulary)


def craft_tiered(*, tiers=(0, 0, 1, 1, 2), numbers=(127, 0, -127, 1, 2, 3), scales=(1.0, 0.5), metadata=None):
    """Return the bytes of a file with the metadata ``TIERED``, whose seal fits."""
    stream = sum(tier << 2 * category for category, tier in enumerate(tiers)).to_bytes(2, "little")
    values = np.array([*scales, *[0.25] * 9], dtype="<f2").tobytes()
    codes = stream + np.array(numbers, dtype=np.int8).tobytes()
    return craft(metadata=TIERED | (metadata or {}), values=values, codes=codes)


def craft_network(
    *, network=LAYERS, version=2, biases=(0, 0, 0), scales=(1, 0.5), numbers=(1,) * 16, halves=(1, -1), **how
):
    """Return the bytes of a file with dense layers on top of the fields of ``METADATA``, whose seal fits.

    Args:
        network: entry of the metadata.
        version: of the schema.
        biases: of the layers ``LAYERS``.
        scales: of the first one.
        numbers: its weights, in int8.
        halves: weights of the second one.
        how: see ``craft``; ``data`` are bytes of the tensor.
    """
    data = np.array(biases[:2], "<f4").tobytes() + np.array(scales, "<f2").tobytes() + np.array(numbers, "i1").tobytes()
    data += np.array(biases[2:], "<f4").tobytes() + np.array(halves, "<f2").tobytes()
    about = {"schema_version": version, "network": network} | how.pop("metadata", {})
    return craft(metadata=about, network=how.pop("data", data), **how)


def sealed(data, seal=b"0" * 64):
    """Return the bytes of a file with its seal set right; ``seal`` is the one that they have."""
    unsealed = data.replace(seal, b"0" * 64)
    return unsealed.replace(b"0" * 64, hashlib.sha256(unsealed).hexdigest().encode())


def small_artifacts():
    """Return models whose artifacts are small: with codes and raw rows, tiers, int8, fp32, all kinds of fields."""
    about = {"quality": False, "libraries": {}, "source": ()}
    kinds = mixed(3, "7 2x3 2", "2 raw raw", pads=(0,), shared=(0,), numeric=(False, True), link="clip:1:5")
    return {
        "fp16": packed(3, "7 2x3 2", "2 raw raw", names=("größe", "b"), **about),
        "tiers": packed(3, "3 2x3 2 | 4 raw:8 raw | 2 1x2:8 shared", "2 raw raw | 1 raw raw", **about),
        "fp32": packed(3, "3 2x3:32 2 | 2 raw:32 raw | 2 raw:8 raw", "2 raw raw", **about),
        "kinds": with_vocabulary(pack_model(kinds, origin(**about)), vocabulary_of(kinds.schema)),
    }
