"""Commands that read an artifact of 11 MB, whole processes, against Python that imports numpy and safetensors."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio
from fmcompress.methods.lightfm.method import LightFM

_ROUNDS = 15
_QUANTIZERS = LightFM(subspaces=4, codewords=4096, linear_codewords=256).quantizers(criteo.CARDINALITIES, criteo.DIM)
_BASE = "import numpy, safetensors"


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds, times those of Python."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "artifact.safetensors"
        criteo.lightfm(quantizers=_QUANTIZERS).save(path)
        commands = {
            f'`python -c "{_BASE}"`': [sys.executable, "-c", _BASE],
            "`fmcompress check --max-size 20MB`": [_script(), "check", path, "--max-size", "20MB"],
            "`fmcompress report`": [_script(), "report", path],
        }
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}  # compiled, as pip leaves it
        works = [partial(subprocess.run, argv, env=env, check=True, capture_output=True) for argv in commands.values()]
        times = interleaved(works, _ROUNDS)
    return [
        (name, f"{1000 * statistics.median(found):.0f} ms", f"{ratio(found, times[0]):.2f}")
        for name, found in zip(commands, times, strict=True)
    ]


def _script() -> str:
    return str(Path(sys.executable).with_name("fmcompress"))


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
