"""All files of the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path

from docs.golden.models import GOLDEN
from docs.golden.refused import refused
from docs.golden.vectors import vectors
from fmcompress.artifact.io import sealed_bytes

FOLDER = Path(__file__).parent


def golden_files() -> dict[Path, bytes]:
    """Return the bytes of each file."""
    files = {}
    for name, golden in GOLDEN.items():
        model = golden.packed(name)
        data = sealed_bytes(model)
        files[FOLDER / f"{name}.safetensors"] = data
        files[FOLDER / f"{name}.json"] = vectors(name, golden, model, data).encode()
    why = {}
    for name, (reason, data) in refused().items():
        files[FOLDER / "refused" / f"{name}.safetensors"] = data
        why[name] = reason
    files[FOLDER / "refused" / "why.json"] = f"{json.dumps(why, indent=1)}\n".encode()
    return files
