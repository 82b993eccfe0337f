"""Files that hold a model: checkpoints and artifacts, told apart by their content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from fmcompress.artifact.container import LENGTH_BYTES, MAX_HEADER_BYTES
from fmcompress.checkpoints import load_checkpoint
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.serve.compressed_fm import CompressedFM, load

_MARK = "schema_version"
"""What the metadata of an artifact has, of any version, and that of a checkpoint has not."""


def load_model(
    path: str | Path,
    *,
    fields: Schema | None = None,
    link: str | None = None,
    keys: Mapping[str, str] | None = None,
    vocabulary: Vocabulary | None = None,
    instance_norm: bool | None = None,
    dataset: str | Path | None = None,
) -> FMCheckpoint | CompressedFM:
    """Load an artifact or a checkpoint.

    Args:
        path: the file.
        fields: what is not told by a checkpoint, as all that follow: see ``load_checkpoint``.
        link: from logit to prediction.
        keys: names of the weights of a model of your own.
        vocabulary: tokens of the categories.
        instance_norm: whether an xLearn model was trained with instance-wise normalisation.
        dataset: the file that tells the fields.

    Raises:
        ArtifactError: it is an artifact, but damaged or too new.
        CheckpointError: it is none, and no checkpoint that can be read either.
    """
    if is_artifact(Path(path)):
        return load(path)
    return load_checkpoint(
        path,
        fields=fields,
        link=link,
        keys=keys,
        vocabulary=vocabulary,
        instance_norm=instance_norm,
        dataset=dataset,
    )


def is_artifact(path: Path) -> bool:
    """Return whether a file is an artifact, damaged perhaps: a safetensors header with a schema version."""
    header = _safetensors_header(path)
    try:
        metadata = json.loads(header)["__metadata__"]["fmcompress"]
        return _MARK in json.loads(metadata)
    except (ValueError, KeyError, TypeError, RecursionError):
        # Damaged, or no JSON at all: the file is taken for what it was.
        return header.startswith(b"{") and f'\\"{_MARK}\\":'.encode() in header


def stored_bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a directory."""
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _safetensors_header(path: Path) -> bytes:
    """Return the text that a safetensors file begins with, as far as it is there; nothing of another file."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
            return file.read(header_bytes) if header_bytes <= MAX_HEADER_BYTES else b""
    except OSError:
        return b""  # whoever loads it will say why
