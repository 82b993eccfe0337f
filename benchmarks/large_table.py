"""Ten million categories in one field, 1.3 GB in fp32, within 60 MB: time and memory of ``quantize`` without data.

Everything is measured in processes of their own, from the file to the artifact, beside plain faiss product quantization
of the same table: 4 x 10 bits, trained on as many vectors as a codebook of ours of that size, read by blocks as well.
``python -m benchmarks.large_table 1000000`` prints the same of a smaller table, within 6 bytes for each category.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import faiss
import numpy as np

from benchmarks.timing import memory_row, peak_bytes
from fmcompress import pipeline
from fmcompress.checkpoints import load_checkpoint

_CATEGORIES = 10_000_000
_DIM = 32
_BYTES_A_CATEGORY = 6
_BLOCK_ROWS = 65_536
_CLUSTERS = 1000
_TRAINED = 131_072
_HEADER = "__metadata__"
_STEPS = ("load", "axes and what errors cost", "pricing and allocation", "codebooks and codes", "packing and writing")

Found = dict[str, float]


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, seconds, times faiss's."""
    return _seconds(_CATEGORIES)


def _seconds(categories: int) -> list[tuple[str, ...]]:
    found, plain = _measured(categories)
    base = plain["seconds"]
    rows = [("faiss, 4 x 10 bits", plain["seconds"]), ("quantize, whole", found["seconds"])]
    rows += [(f"of it {name}", found[name]) for name in _STEPS]
    return [(name, f"{seconds:.1f} s", f"{seconds / base:.2f}") for name, seconds in rows]


def memory() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB, times the weights in fp32; of whole processes with all libraries."""
    return _peaks(_CATEGORIES)


def _peaks(categories: int) -> list[tuple[str, ...]]:
    found, plain = _measured(categories)
    weights = 4 * sum(_sizes(categories)) * (_DIM + 1)
    return [
        memory_row("weights in fp32", weights, weights),
        memory_row("quantize, the whole process", int(found["peak"]), weights),
        memory_row("faiss, the whole process", int(plain["peak"]), weights),
    ]


def _sizes(categories: int) -> list[int]:
    """Return the sizes of the fields: a large one and twenty small ones."""
    return [categories, *(10 * number * number for number in range(1, 21))]


@cache
def _measured(categories: int) -> tuple[Found, Found]:
    """Return what ``quantize`` took, and what faiss did."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "fm.safetensors"
        _write(path, _sizes(categories))
        found, plain = (
            json.loads(
                subprocess.run(
                    [sys.executable, "-m", "benchmarks.large_table", part, path], check=True, capture_output=True
                ).stdout
            )
            for part in _PARTS
        )
    return found, plain


def _write(path: Path, sizes: list[int]) -> None:
    """Write a checkpoint, a block at a time: clusters of vectors whose coordinates are correlated."""
    fields = [[f"f{number}", size] for number, size in enumerate(sizes)]
    rows = sum(sizes)
    header: dict[str, object] = {
        _HEADER: {"fmcompress": json.dumps({"version": 1, "fields": fields, "link": "sigmoid"})}
    }
    end = 0
    for name, shape in (("embeddings", (rows, _DIM)), ("linear", (rows,)), ("bias", ())):
        start, end = end, end + 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    rng = np.random.default_rng(0)
    axes = (0.05 * rng.standard_normal((_DIM, _DIM)) * np.exp(-np.arange(_DIM) / 8)[:, None]).astype(np.float32)
    centres = rng.standard_normal((_CLUSTERS, _DIM)).astype(np.float32)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        blocks = [min(_BLOCK_ROWS, rows - start) for start in range(0, rows, _BLOCK_ROWS)]
        for count in blocks:
            own = centres[rng.integers(0, _CLUSTERS, count)]
            file.write(((own + 0.7 * rng.standard_normal((count, _DIM), dtype=np.float32)) @ axes).tobytes())
        for count in blocks:
            file.write((0.2 * rng.standard_normal(count, dtype=np.float32)).tobytes())
        file.write(np.float32(-1).tobytes())


def _quantize(path: Path) -> Found:
    """Return the seconds of each step, and the peak of this process."""
    marks = [time.perf_counter()]

    def mark() -> None:
        marks.append(time.perf_counter())

    checkpoint = load_checkpoint(path)
    job = pipeline.open_job(checkpoint, _BYTES_A_CATEGORY * checkpoint.schema.fields[0].cardinality)
    mark()
    measured = pipeline.measure(job)
    _ = measured.sensitivity
    mark()
    plan = pipeline.make_plan(job, measured)
    mark()
    quantized = pipeline.fit_codebooks(job, measured, plan)
    mark()
    packed = pipeline.pack(job, plan, quantized)
    del quantized, measured  # as ``pipeline.quantize`` does
    packed = pipeline.sample(job, packed)
    pipeline.CompressedFM.of(packed).save(path.with_suffix(".out"))
    mark()
    steps = np.diff(marks).tolist()
    return {**dict(zip(_STEPS, steps, strict=True)), "seconds": sum(steps), "peak": peak_bytes()}


def _plain_faiss(path: Path) -> Found:
    """Return the seconds of product quantization of all fields' rows as one table, and the peak of this process."""
    start = time.perf_counter()
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        rows = json.loads(file.read(header_bytes))["embeddings"]["shape"][0]
        first = 8 + header_bytes
        vectors = np.memmap(file, np.float32, "r", first, (rows, _DIM))
        quantizer = faiss.ProductQuantizer(_DIM, 4, 10)
        drawn = np.random.default_rng(0).permutation(len(vectors))[:_TRAINED]
        quantizer.train(vectors[np.sort(drawn)])
        del vectors
        file.seek(first)
        codes = []
        for row in range(0, rows, _BLOCK_ROWS):
            count = min(_BLOCK_ROWS, rows - row)
            codes.append(quantizer.compute_codes(np.fromfile(file, np.float32, count * _DIM).reshape(count, _DIM)))
    np.concatenate(codes).tofile(path.with_suffix(".faiss"))
    return {"seconds": time.perf_counter() - start, "peak": peak_bytes()}


_PARTS = {"quantize": _quantize, "faiss": _plain_faiss}

if __name__ == "__main__":
    if sys.argv[1] in _PARTS:
        print(json.dumps(_PARTS[sys.argv[1]](Path(sys.argv[2]))))
    else:
        for row in (*_seconds(int(sys.argv[1])), *_peaks(int(sys.argv[1]))):
            print(*row, sep=" | ")
