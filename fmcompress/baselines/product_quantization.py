"""Product quantization as in the papers: equal codebooks, untuned and tuned, and searched ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from fmcompress import pipeline
from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.task import Task
from fmcompress.errors import BudgetError
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.methods.base import Job
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.methods.xlightfm.method import XLightFM
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions

AnyLightFM = TypeVar("AnyLightFM", LightFM, XLightFM)

_CODEWORDS = tuple(2**bits for bits in range(12, 3, -1))
_LINEAR_CODEWORDS = (256, 64, 16)
_SMALL_CANDIDATES = (4, 8, 16, 32, 64, 128, 256)

SIZES = tuple(
    LightFM(subspaces, codewords, linear)
    for subspaces in (4, 2, 1)
    for linear in _LINEAR_CODEWORDS
    for codewords in _CODEWORDS
)
"""Sizes of equal codebooks; the first that fit a budget are taken."""

SPACES = (
    SpaceOptions(),
    *(SpaceOptions(candidates=_SMALL_CANDIDATES, linear_codewords=linear) for linear in _LINEAR_CODEWORDS),
)
"""What is searched; the first with an architecture that fits a budget is taken."""


def untuned_codebooks(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with equal codebooks made by k-means, for each budget."""
    tuning = replace(task.options.codebook_tuning(None), epochs=0)
    for sizes, job in _fitting(task, _equal_sizes(task), tuning):
        model = pipeline.quantize(job)
        yield BaselinePoint(f"PQ {_described(sizes)}, untuned", key, model.file_bytes, model)


def equal_codebooks(key: str, task: Task, *, moving: MovingOptions | None) -> Iterator[BaselinePoint]:
    """Yield the same sizes, tuned; codes move with ``moving``, or stand still where it is None."""
    codes = "fixed" if moving is None else "moving"
    for sizes, job in _fitting(task, _equal_sizes(task), task.options.codebook_tuning(moving)):
        model = pipeline.quantize(job)
        yield BaselinePoint(f"LightFM {_described(sizes)}, {codes} codes", key, model.file_bytes, model)


def searched_codebooks(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with codebooks of searched sizes, tuned, for each budget."""
    search = SearchOptions(steps=task.options.search_steps)
    methods = [XLightFM(space, search) for space in SPACES if space.subspaces <= task.source.dim]
    for method, job in _fitting(task, methods, task.options.codebook_tuning(MovingOptions())):
        model = pipeline.quantize(job)
        candidates = method.space.candidates
        yield BaselinePoint(f"xLightFM, {candidates[0]} to {candidates[-1]} codewords", key, model.file_bytes, model)


def _equal_sizes(task: Task) -> list[LightFM]:
    return [sizes for sizes in SIZES if sizes.subspaces <= task.source.dim]


def _described(sizes: LightFM) -> str:
    return f"{sizes.subspaces} x {sizes.codewords}, linear {sizes.linear_codewords}"


def _fitting(task: Task, methods: Sequence[AnyLightFM], tuning: TuneOptions) -> Iterator[tuple[AnyLightFM, Job]]:
    """Yield, for each budget, the first method that meets it; budgets that none meets are left out."""
    for budget_bytes in task.budgets:
        found = next(_meeting(task, budget_bytes, methods, tuning), None)
        if found is None:
            task.progress.note(f"no codebooks of this baseline fit {budget_bytes:,} bytes")
        else:
            yield found


def _meeting(
    task: Task, budget_bytes: int, methods: Sequence[AnyLightFM], tuning: TuneOptions
) -> Iterator[tuple[AnyLightFM, Job]]:
    """Yield the methods that meet a budget, each with its job."""
    for method in methods:
        job = Job(task.source, method, budget_bytes, task.data, tuning, task.options.seed, progress=task.progress)
        try:
            job.check()
        except BudgetError:
            continue
        yield method, job
