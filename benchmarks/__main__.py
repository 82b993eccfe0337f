"""Runs all benchmarks and writes their tables into ``docs/performance.md``."""

from __future__ import annotations

import platform
from datetime import date
from pathlib import Path

import faiss
import torch

from benchmarks import (
    data_files,
    exporting,
    keys,
    large_table,
    opening,
    planning,
    processes,
    quantizing,
    reading,
    score_command,
    scoring,
    serving,
    starting,
    tuning,
)

_PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def main() -> None:
    """Measure, print and write."""
    sections = [
        ("Reading a checkpoint", ("", "median", "ratio to torch.load"), reading.run),
        ("Peak memory of reading", ("", "peak", "ratio to the tensors"), reading.memory),
        ("Quantization without data", ("", "median", "ratio to faiss"), quantizing.run),
        ("Peak memory of quantization", ("", "peak", "ratio to the embeddings"), quantizing.memory),
        ("Quantization with data, phase by phase", ("", "seconds", "share", "cores kept busy"), planning.run),
        ("Quantization of ten million categories, whole processes", ("", "", "ratio to faiss"), large_table.run),
        ("Peak memory of ten million categories", ("", "peak", "ratio to the weights"), large_table.memory),
        ("Tuning, batch 2048, two threads", ("", "median", "ratio to the FM"), tuning.run),
        ("Tuning in two processes, rows a second", ("", "rows a second", "ratio to one process"), processes.run),
        ("Peak memory of tuning", ("", "peak", "ratio to the FM with Adam's state"), tuning.memory),
        ("Scoring, batch 2048, one thread", ("", "median", "ratio to embedding_bag"), scoring.run),
        ("Scoring one row at a time", ("", "median", "ratio to embedding_bag"), scoring.one_row),
        ("Several values in a row, batch 2048", ("", "median", "ratio to the eager FM"), scoring.several_values),
        ("One row at a time from C", ("", "median", ""), serving.from_c),
        ("Scoring a million rows", ("", "median", "ratio to one thread"), scoring.large),
        ("Memory of a process that scored a million rows", ("", "grown by", "ratio to the file"), serving.memory),
        ("From start to the first prediction, whole processes", ("", "median", "ratio to numpy"), serving.start),
        ("An artifact as an ONNX file, one thread", ("", "median", "ratio to the artifact"), exporting.run),
        ("Scoring a million rows of Parquet, whole processes", ("", "median", "ratio to reading"), score_command.run),
        ("Rows a second, CSV and Parquet", ("", "rows a second", "ratio to Parquet"), data_files.run),
        ("Ten million hashed keys of 64 bits, one thread", keys.HEAD, keys.run),
        ("Reading an artifact", ("", "median", "ratio to numpy"), starting.run),
        ("Opening 10 MB, plain and compact", ("", "median", "ratio to plain"), opening.run),
    ]
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, faiss {faiss.__version__}"
    parts = [f"Measured on {date.today()}: {torch.get_num_threads()} cores, {platform.machine()}, {versions}."]
    for title, head, work in sections:
        rows = [head, ("---", *["---:"] * (len(head) - 1)), *work()]
        parts.append(f"### {title}\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows))
        print(parts[-1], end="\n\n", flush=True)
    page = _PAGE.read_text()
    before, after = page.split(_BEGIN)[0], page.split(_END)[1]
    _PAGE.write_text(before + _BEGIN + "\n" + "\n\n".join(parts) + "\n" + _END + after)


if __name__ == "__main__":
    main()
