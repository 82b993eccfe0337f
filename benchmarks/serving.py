"""What a process that serves takes: to start, in memory, and for one row from C; whole processes."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import criteo
from benchmarks.scoring import auto_artifact
from benchmarks.timing import interleaved, ratio
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.serve import native_library

_ROUNDS = 15
_TEN_MB = LightFM(subspaces=8, codewords=256, linear_codewords=256).quantizers(criteo.CARDINALITIES, criteo.DIM)

_FIRST = "import sys, numpy as np, fmcompress as fc; fc.load(sys.argv[1]).predict(np.zeros((1, 39), np.int64))"
_RESIDENT = """
import sys, numpy as np, fmcompress as fc
from pathlib import Path
def resident():
    return 1024 * int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0])
ids = np.load(sys.argv[1])
fc.load(sys.argv[3]).predict(ids[:1])  # what is loaded once, whatever the model
before = resident()
model = fc.load(sys.argv[2])
for start in range(0, len(ids), 2048):
    model.predict(ids[start:start + 2048])
print(resident() - before)
"""
_C = Path(__file__).with_name("one_row.c")


def start() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds, times those of importing numpy."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "artifact.safetensors"
        criteo.lightfm(quantizers=_TEN_MB).save(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        commands = {
            '`python -c "import numpy"`': [sys.executable, "-c", "import numpy"],
            f"`import fmcompress; load; predict`, {size}": [sys.executable, "-c", _FIRST, path],
        }
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": folder}  # compiled, as pip leaves it
        works = [partial(subprocess.run, argv, env=env, check=True) for argv in commands.values()]
        times = interleaved(works, _ROUNDS)
    return [
        (name, f"{1000 * statistics.median(found):.0f} ms", f"{ratio(found, times[0]):.2f}")
        for name, found in zip(commands, times, strict=True)
    ]


def memory() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB for loading and scoring a million rows, times the file."""
    rows = []
    with TemporaryDirectory() as folder:
        ids, small = Path(folder) / "ids.npy", Path(folder) / "small.safetensors"
        np.save(ids, np.resize(criteo.ids(65536, seed=0), (10**6, 39)))
        tiny = LightFM(subspaces=1, codewords=2, linear_codewords=2).quantizers(criteo.CARDINALITIES, criteo.DIM)
        criteo.lightfm(quantizers=tiny).save(small)
        for name, model in (("4 x 1024", criteo.lightfm()), ("`auto` at 20 x", auto_artifact())):
            path = Path(folder) / "artifact.safetensors"
            model.save(path, force=True)
            grown = int(_output([sys.executable, "-c", _RESIDENT, ids, path, small]))
            size = path.stat().st_size
            rows.append((f"{name}, {size / 2**20:.2f} MiB", f"{grown / 2**20:.1f} MiB", f"{grown / size:.2f}"))
    return rows


def from_c() -> list[tuple[str, ...]]:
    """Return a row of the table: what, and microseconds for one row at a time in C."""
    with TemporaryDirectory() as folder:
        ids, path, program = (Path(folder) / name for name in ("ids", "artifact.safetensors", "one_row"))
        ids.write_bytes(criteo.ids(100_000, seed=0).astype(np.int64).tobytes())
        library = Path(native_library.__file__).parent
        compiler = [os.environ.get("CC", "cc"), "-O2", _C, "-o", program, f"-I{library}", f"-L{library}"]
        subprocess.run([*compiler, "-lfmcompress", f"-Wl,-rpath,{library}"], check=True)
        rows = []
        for name, model in (("4 x 1024", criteo.lightfm()), ("`auto` at 20 x", auto_artifact())):
            model.save(path, force=True)
            found = [float(_output([program, path, ids])) for _ in range(_ROUNDS)]
            rows.append((f"one row from C, {name}", f"{statistics.median(found):.2f} µs", ""))
    return rows


def _output(command: list[str | Path]) -> str:
    return re.sub(r"\s+$", "", subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    for row in [*start(), *memory(), *from_c()]:
        print(*row, sep=" | ")
