"""The command ``score`` on a million rows of Criteo's shape, against reading its Parquet, as whole processes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import criteo
from benchmarks.timing import interleaved, ratio

_ROWS = 1_000_000
_ROUNDS = 7
_READ = "import sys, pyarrow.parquet as pq; pq.read_table(sys.argv[1])"


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, milliseconds, times those of reading alone."""
    with TemporaryDirectory() as folder:
        data, model, scores = (Path(folder) / name for name in ("rows.parquet", "a.safetensors", "scores.parquet"))
        _write_rows(data)
        criteo.lightfm().save(model)
        fmcompress = str(Path(sys.executable).with_name("fmcompress"))
        command: list[str | Path] = [fmcompress, "--quiet", "score", model, data, "-o", scores, "--force"]
        commands = {
            "reading the Parquet alone": [sys.executable, "-c", _READ, data],
            "`fmcompress score`": command,
            "`fmcompress score` that keeps a key": [*command, "--keep", "key"],
        }
        works = [partial(subprocess.run, argv, check=True, capture_output=True) for argv in commands.values()]
        without = {**os.environ, "FMCOMPRESS_NATIVE": "0"}
        works.append(partial(subprocess.run, command, env=without, check=True, capture_output=True))
        times = interleaved(works, _ROUNDS)
    names = (*commands, "`fmcompress score`, numpy without the native core")
    return [
        (name, f"{1000 * statistics.median(found):.0f} ms", f"{ratio(found, times[0]):.2f}")
        for name, found in zip(names, times, strict=True)
    ]


def _write_rows(path: Path) -> None:
    """Write ids of 39 fields, int32, and a key for each row."""
    ids = np.concatenate([criteo.ids(_ROWS // 10, seed=seed) for seed in range(10)])
    columns = dict(zip(criteo.SCHEMA.names, ids.T, strict=True))
    pq.write_table(pa.table({**columns, "key": np.arange(_ROWS)}), path, row_group_size=131_072)


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
