"""Rows as CSV and as Parquet of the same numbers: read in this process, and scored by whole processes."""

from __future__ import annotations

import gzip
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks import criteo
from benchmarks.timing import interleaved
from fmcompress.data.rows import open_rows
from fmcompress.fm.schema import Schema

_ROUNDS = 5
_FOUR = Schema.of([("user", 1_000_000), ("item", 100_000), ("hour", 24), ("day", 7)])


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, rows a second, and times those of Parquet."""
    with TemporaryDirectory() as folder:
        model = Path(folder) / "a.safetensors"
        criteo.lightfm().save(model)
        found = []
        for name, schema, ids in (
            ("4 fields", _FOUR, _uniform(2_000_000)),
            ("39 fields", criteo.SCHEMA, np.concatenate([criteo.ids(100_000, seed=seed) for seed in range(10)])),
        ):
            files = _write(Path(folder), schema, ids)
            works = [partial(_read, file, schema) for file in files]
            found += _table(f"reading {name}", len(ids), works)
        command = [str(Path(sys.executable).with_name("fmcompress")), "--quiet", "score", str(model)]
        score = [
            partial(
                subprocess.run,
                [*command, file, "-o", Path(folder) / "s.parquet", "--force"],
                check=True,
                capture_output=True,
            )
            for file in files
        ]
        return found + _table("`fmcompress score`, 39 fields", len(ids), score)


def _table(name: str, rows: int, works: list[Callable[[], object]]) -> list[tuple[str, ...]]:
    times = interleaved(works, _ROUNDS)
    return [
        (
            f"{name}, {kind}",
            f"{rows / statistics.median(found) / 1e6:.2f} million",
            f"{statistics.median(a / b for a, b in zip(times[0], found, strict=True)):.2f}",
        )
        for kind, found in zip(("Parquet", "CSV", "CSV, gzip"), times, strict=True)
    ]


def _uniform(rows: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([rng.integers(0, size, rows, dtype=np.int32) for size in _FOUR.cardinalities], axis=1)


def _write(folder: Path, schema: Schema, ids: np.ndarray) -> list[Path]:
    """Write the same rows in each form."""
    parquet, text, packed = (folder / f"rows{suffix}" for suffix in (".parquet", ".csv", ".csv.gz"))
    columns = dict(zip(schema.names, ids.T, strict=True))
    table = pa.table({"label": np.resize(np.int8([0, 1, 1]), len(ids)), **columns})
    pq.write_table(table, parquet, row_group_size=131_072)
    pa.csv.write_csv(table, text)
    packed.write_bytes(gzip.compress(text.read_bytes(), 6))
    return [parquet, text, packed]


def _read(file: Path, schema: Schema) -> int:
    return sum(len(batch) for batch in open_rows(file, schema).batches())


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
