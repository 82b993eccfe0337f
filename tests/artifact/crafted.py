"""Artifacts made by hand, with a correct seal around whatever stands in them."""

import hashlib
import json

import numpy as np

from tests.models import packed

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

VALUES = 3 * 4 + 4 + 2 * 4 + 2
CODES = (9 * 6 + 7) // 8


def craft(*, metadata=None, layout=None, bias=b"\0" * 4, values=b"\0\0" * VALUES, codes=b"\0" * CODES, more=None):
    """Return the bytes of a file whose seal fits.

    Args:
        metadata: entries to replace.
        layout: what becomes of the header; a function from dict to dict.
        bias: bytes of the tensor, as ``values`` and ``codes``.
        more: text of the whole metadata, in place of ``METADATA``.
    """
    text = json.dumps({**METADATA, **(metadata or {})}) if more is None else more
    ends = np.cumsum([0, len(bias), len(values), len(codes)]).tolist()
    header = {
        "__metadata__": {"fmcompress": text},
        "bias": {"dtype": "F32", "shape": [1], "data_offsets": ends[:2]},
        "values": {"dtype": "F16", "shape": [len(values) // 2], "data_offsets": ends[1:3]},
        "codes": {"dtype": "U8", "shape": [len(codes)], "data_offsets": ends[2:]},
    }
    raw = json.dumps(layout(header) if layout else header).encode()
    return sealed(len(raw).to_bytes(8, "little") + raw + bias + values + codes)


def craft_tiered(*, tiers=(0, 0, 1, 1, 2), numbers=(127, 0, -127, 1, 2, 3), scales=(1.0, 0.5), metadata=None):
    """Return the bytes of a file with the metadata ``TIERED``, whose seal fits."""
    stream = sum(tier << 2 * category for category, tier in enumerate(tiers)).to_bytes(2, "little")
    values = np.array([*scales, *[0.25] * 9], dtype="<f2").tobytes()
    codes = stream + np.array(numbers, dtype=np.int8).tobytes()
    return craft(metadata=TIERED | (metadata or {}), values=values, codes=codes)


def sealed(data, seal=b"0" * 64):
    """Return the bytes of a file with its seal set right; ``seal`` is the one that they have."""
    unsealed = data.replace(seal, b"0" * 64)
    return unsealed.replace(b"0" * 64, hashlib.sha256(unsealed).hexdigest().encode())


def small_artifacts():
    """Return models whose artifacts are small: with codes and raw rows, tiers, int8, and names of more than ASCII."""
    origin = {"quality": False, "libraries": {}, "source": ()}
    return {
        "fp16": packed(3, "7 2x3 2", "2 raw raw", names=("größe", "b"), **origin),
        "tiers": packed(3, "3 2x3 2 | 4 raw:8 raw | 2 1x2:8 shared", "2 raw raw | 1 raw raw", **origin),
    }
