"""All files of the golden vectors."""

from __future__ import annotations

import json
from pathlib import Path

from docs.golden.models import GOLDEN
from docs.golden.refused import refused
from docs.golden.refused_compact import refused_compact
from docs.golden.vectors import vectors
from fmcompress.artifact.io import sealed_bytes
from fmcompress.artifact.origin import COMPACT

FOLDER = Path(__file__).parent


def golden_files() -> dict[Path, bytes]:
    """Return the bytes of each file."""
    files = {}
    for name, golden in GOLDEN.items():
        model = golden.packed(name)
        data = sealed_bytes(model)
        files[FOLDER / f"{name}.safetensors"] = data
        files[FOLDER / "compact" / f"{name}.safetensors"] = sealed_bytes(golden.packed(name, COMPACT))
        files[FOLDER / f"{name}.json"] = vectors(name, golden, model, data).encode()
    for folder, found in ((FOLDER / "refused", refused()), (FOLDER / "compact" / "refused", refused_compact())):
        files |= {folder / f"{name}.safetensors": data for name, (_, data) in found.items()}
        why = {name: reason for name, (reason, _) in found.items()}
        files[folder / "why.json"] = f"{json.dumps(why, indent=1)}\n".encode()
    return files
