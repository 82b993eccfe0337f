"""The artifact: a bit-packed safetensors file, and the compressed factorization machine that it holds."""

from fmcompress.artifact.frame import Frame
from fmcompress.artifact.header import Header
from fmcompress.artifact.io import load, save
from fmcompress.artifact.model import CompressedFM, pack_model, unpack_model, with_vocabulary
from fmcompress.artifact.origin import Origin, Quality

__all__ = [
    "CompressedFM",
    "Frame",
    "Header",
    "Origin",
    "Quality",
    "load",
    "pack_model",
    "save",
    "unpack_model",
    "with_vocabulary",
]
