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


def sealed(data, seal=b"0" * 64):
    """Return the bytes of a file with its seal set right; ``seal`` is the one that they have."""
    unsealed = data.replace(seal, b"0" * 64)
    return unsealed.replace(b"0" * 64, hashlib.sha256(unsealed).hexdigest().encode())


def small_artifact():
    """Return a model whose artifact is small, with codes, raw rows and names of more than ASCII."""
    return packed(3, "7 2x3 2", "2 raw raw", names=("größe", "b"), quality=False, libraries={}, source=())
