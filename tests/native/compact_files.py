"""Compact files that are something else, sealed again: what is behind the seal is changed in every way."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from fmcompress.artifact import read_artifact
from fmcompress.artifact.io import sealed_bytes

GOLDEN = Path(__file__).parents[2] / "docs" / "golden" / "compact"
SOURCES = (
    "codes-int8",
    "few-bits",
    "three-tiers",
    "deepfm",
    "every-kind",
    "no-powers-of-two",
    "keys",
    "uneven-fp32",
    "clip",
)
SEAL_BYTES = 32


def start_of(data):
    """Return where the seal of a file begins."""
    return 8 + int.from_bytes(data[:8], "little")


def with_body(body):
    """Return the file that has these bytes behind its seal."""
    size = SEAL_BYTES + len(body)
    text = f'{{"fmc":{{"dtype":"U8","shape":[{size}],"data_offsets":[0,{size}]}}}}'.encode()
    head = len(text).to_bytes(8, "little") + text
    return head + hashlib.sha256(head + bytes(SEAL_BYTES) + body).digest() + body


def sources():
    """Return compact files of every kind, without provenance, which the native core does not read."""
    models = [read_artifact(GOLDEN / f"{name}.safetensors") for name in SOURCES]
    bare = [replace(model.header, origin=replace(model.header.origin, provenance=False)) for model in models]
    return [sealed_bytes(replace(model, header=header)) for model, header in zip(models, bare, strict=True)]


def mutations(count, seed=0):
    """Yield compact files that were changed and sealed again."""
    rng = np.random.default_rng(seed)
    bodies = [data[start_of(data) + SEAL_BYTES :] for data in sources()]
    for number in range(count):
        body = bytearray(bodies[number % len(bodies)])
        near = min(len(body), int(rng.choice([40, 200, len(body)])))  # the header is at the front
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(near))
            kind = rng.integers(6)
            if kind == 0:
                body[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                body[at] = int(rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF]))
            elif kind == 2:
                body[at:at] = bytes(rng.integers(0, 256, rng.integers(1, 4), dtype=np.uint8))
            elif kind == 3:
                del body[at : at + int(rng.integers(1, 4))]
            elif kind == 4:
                body[at:at] = b"\xff" * int(rng.integers(1, 8)) + b"\x7f"
            else:
                body = body[: max(1, len(body) - int(rng.integers(1, 9)))]
            near = min(near, len(body))
            if not body:
                body = bytearray(b"\x03")
                near = 1
        yield with_body(bytes(body))
