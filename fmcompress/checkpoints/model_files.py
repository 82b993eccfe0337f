"""Files that hold a model: checkpoints and artifacts, told apart by their content."""

import json
from pathlib import Path
from typing import Any

from fmcompress.artifact import compact
from fmcompress.artifact.container import LENGTH_BYTES, MAX_HEADER_BYTES
from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.files.sharded_file import shards_of
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.serve.compressed_fm import CompressedFM, load_fm

_MARK = "schema_version"
"""What the metadata of an artifact has, of any version, and that of a checkpoint has not."""

_CONTAINERS = {
    "torch.distributed.checkpoint": "*.distcp",
    "safetensors": "*.safetensors",
    "torch": "*.bin",
    "Parquet": "*.parquet",
}
"""What a folder may hold, and how its files end."""


def load_model(path: str | Path, **given: Any) -> FMCheckpoint | CompressedFM:
    """Load an artifact or a checkpoint.

    Args:
        path: the file.
        given: what is not told by a checkpoint: arguments of ``load_checkpoint``.

    Raises:
        ArtifactError: it is an artifact, but damaged or too new, or it holds tables.
        CheckpointError: it is none, and no checkpoint that can be read either.
    """
    return load_fm(path) if is_artifact(Path(path)) else load_checkpoint(path, **given)


def is_artifact(path: Path) -> bool:
    """Return whether a file is an artifact, damaged perhaps: a safetensors header of one or with a schema version."""
    header = _safetensors_header(path)
    if header.startswith(compact.BEGINNING):
        return True
    try:
        metadata = json.loads(header)["__metadata__"]["fmcompress"]
        return _MARK in json.loads(metadata)
    except (ValueError, KeyError, TypeError, RecursionError):
        # Damaged, or no JSON at all: the file is taken for what it was.
        return header.startswith(b"{") and f'\\"{_MARK}\\":'.encode() in header


def stored_bytes(path: Path) -> int:
    """Return the size of a file, with the shards that it names, or of all files in a directory."""
    if not path.is_dir():
        return sum(file.stat().st_size for file in (path, *shards_of(path)))
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def container_of(path: Path) -> str | None:
    """Return what the files of a checkpoint in several files are, and how many; None of one in a single file."""
    if not path.is_dir():
        shards = shards_of(path)
        kind = "safetensors" if all(shard.suffix == ".safetensors" for shard in shards) else "torch"
        return f"{kind}, {len(shards)} shards" if shards else None
    for name, pattern in _CONTAINERS.items():
        if found := sum(file.is_file() for file in path.glob(pattern)):
            return f"{name}, {found} files" if found > 1 else f"{name}, 1 file"
    return None


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
