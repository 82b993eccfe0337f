"""Quantization without data, planning over the whole menu included, against plain faiss product quantization."""

from __future__ import annotations

import statistics

import faiss
import numpy as np

from benchmarks import criteo
from benchmarks.timing import interleaved, memory_row, peak_bytes, peak_of, ratio
from fmcompress import pipeline
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.methods.base import Job
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan

_BUDGET = "7.5MB"
_ROUNDS = 3

_Planned = tuple[Job, Plan, Measurements]


def run() -> list[tuple[str, ...]]:
    """Return rows of the table: what, seconds, times faiss's."""
    checkpoint = criteo.checkpoint()
    planned: list[_Planned] = []
    works = (
        lambda: _plain_faiss(checkpoint),
        lambda: planned.append(_plan(checkpoint)),
        lambda: pipeline.quantize(*planned.pop()),
    )
    faiss_times, plan_times, run_times = interleaved(works, _ROUNDS)
    total = [a + b for a, b in zip(plan_times, run_times, strict=True)]
    names = ("faiss, 4 x 10 bits", "quantize, whole", "of it pricing and allocation", "of it codebooks and packing")
    return [
        (name, f"{statistics.median(found):.1f} s", f"{ratio(found, faiss_times):.2f}")
        for name, found in zip(names, (faiss_times, total, plan_times, run_times), strict=True)
    ]


def memory() -> list[tuple[str, ...]]:
    """Return rows of the table: what, MiB, times the fp32 embeddings; measured in a process of its own."""
    embeddings = 4 * criteo.SCHEMA.categories * criteo.DIM
    return [
        memory_row("fp32 embeddings", embeddings, embeddings),
        memory_row("quantize, on top of the loaded checkpoint", peak_of("quantizing"), embeddings),
    ]


def _plan(checkpoint: FMCheckpoint) -> _Planned:
    job = pipeline.open_job(checkpoint, _BUDGET)
    measured = pipeline.measure(job)
    return job, pipeline.make_plan(job, measured), measured


def _plain_faiss(checkpoint: FMCheckpoint) -> None:
    """Train 4 x 10 bits on every field that has a codebook in the paper, and encode it."""
    for number, cardinality in enumerate(criteo.CARDINALITIES):
        if cardinality >= 1024:
            vectors = np.ascontiguousarray(checkpoint.embeddings[criteo.SCHEMA.rows(number)])
            quantizer = faiss.ProductQuantizer(criteo.DIM, 4, 10)
            quantizer.cp.min_points_per_centroid = 1
            quantizer.train(vectors)
            quantizer.compute_codes(vectors)


def _measure_memory() -> int:
    model = criteo.bare_checkpoint()
    before = peak_bytes(anew=True)  # making the model took more
    pipeline.quantize(*_plan(model))
    return peak_bytes() - before


if __name__ == "__main__":
    print(_measure_memory())
