"""The artifact: a bit-packed safetensors file, and the packed factorization machine that it holds."""

from fmcompress.artifact.header import Header
from fmcompress.artifact.io import read_any_artifact, read_artifact, save
from fmcompress.artifact.metadata import Frame
from fmcompress.artifact.origin import Origin, Quality
from fmcompress.artifact.packed import PackedFM, PackedTables, pack_model, pack_tables, unpack_model, with_vocabulary

__all__ = [
    "Frame",
    "Header",
    "Origin",
    "PackedFM",
    "PackedTables",
    "Quality",
    "pack_model",
    "pack_tables",
    "read_any_artifact",
    "read_artifact",
    "save",
    "unpack_model",
    "with_vocabulary",
]
