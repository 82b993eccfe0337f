"""Product quantization as in the papers: equal codebooks, untuned and tuned, and searched ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.task import Task
from fmcompress.errors import BudgetError
from fmcompress.finetune.options import MovingOptions, SearchOptions
from fmcompress.methods.registry import LightFM, XLightFM
from fmcompress.methods.xlightfm.search_space import SpaceOptions
from fmcompress.pipeline import Quantization

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
    for sizes, quantization in _fitting(task, _equal_sizes(task)):
        model = quantization.run(tuning)
        yield BaselinePoint(f"PQ {_described(sizes)}, untuned", key, model.file_bytes, model)


def equal_codebooks(key: str, task: Task, *, moving: MovingOptions | None) -> Iterator[BaselinePoint]:
    """Yield the same sizes, tuned; codes move with ``moving``, or stand still where it is None."""
    codes = "fixed" if moving is None else "moving"
    for sizes, quantization in _fitting(task, _equal_sizes(task)):
        model = quantization.run(task.options.codebook_tuning(moving))
        yield BaselinePoint(f"LightFM {_described(sizes)}, {codes} codes", key, model.file_bytes, model)


def searched_codebooks(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with codebooks of searched sizes, tuned, for each budget."""
    search = SearchOptions(steps=task.options.search_steps)
    methods = [XLightFM(space, search) for space in SPACES if space.subspaces <= task.source.dim]
    for method, quantization in _fitting(task, methods):
        model = quantization.run(task.options.codebook_tuning(MovingOptions()))
        candidates = method.space.candidates
        yield BaselinePoint(f"xLightFM, {candidates[0]} to {candidates[-1]} codewords", key, model.file_bytes, model)


def _equal_sizes(task: Task) -> list[LightFM]:
    return [sizes for sizes in SIZES if sizes.subspaces <= task.source.dim]


def _described(sizes: LightFM) -> str:
    return f"{sizes.subspaces} x {sizes.codewords}, linear {sizes.linear_codewords}"


def _fitting(task: Task, methods: Iterable[AnyLightFM]) -> Iterator[tuple[AnyLightFM, Quantization]]:
    """Yield, for each budget, the first method that meets it; budgets that none meets are left out."""
    for budget in task.budgets:
        found = next(_planned(task, budget, methods), None)
        if found is None:
            task.progress.note(f"no codebooks of this baseline fit {budget:,} bytes")
        else:
            yield found


def _planned(task: Task, budget: int, methods: Iterable[AnyLightFM]) -> Iterator[tuple[AnyLightFM, Quantization]]:
    """Yield the methods that meet a budget, each planned."""
    for method in methods:
        try:
            plan = Quantization(
                task.source, budget, task.data, method=method, seed=task.options.seed, progress=task.progress
            )
        except BudgetError:
            continue
        yield method, plan
