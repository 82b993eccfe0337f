"""The artifact: a bit-packed safetensors file, and the compressed factorization machine that it holds."""

from fmcompress.artifact.header import Header, Origin, Quality
from fmcompress.artifact.io import load, save
from fmcompress.artifact.model import CompressedFM, pack_model, unpack_model

__all__ = ["CompressedFM", "Header", "Origin", "Quality", "load", "pack_model", "save", "unpack_model"]
