"""Files that hold a model: checkpoints and artifacts, told apart by their content."""

from __future__ import annotations

from pathlib import Path

from fmcompress.artifact import load
from fmcompress.checkpoints import load_checkpoint
from fmcompress.evaluation import Model
from fmcompress.schema import Schema

_SNIFFED_BYTES = 4096


def load_model(path: str | Path, *, fields: Schema | None = None) -> Model:
    """Load an artifact or a checkpoint.

    Args:
        path: the file.
        fields: fields of a checkpoint that does not name them.

    Raises:
        ArtifactError: it is an artifact, but damaged or too new.
        CheckpointError: it is none, and no checkpoint that can be read either.
    """
    return load(path) if is_artifact(Path(path)) else load_checkpoint(path, fields=fields)


def is_artifact(path: Path) -> bool:
    """Return whether a file begins as an artifact does: a safetensors header with a schema version."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"fmcompress":"{\\"budget\\"' in file.read(_SNIFFED_BYTES)
