"""Product quantization as in the papers: equal codebooks, untuned and tuned, and searched ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fmcompress import pipeline
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.errors import BudgetError
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.methods.base import Job, Method
from fmcompress.methods.lightfm.method import LightFM
from fmcompress.methods.xlightfm.method import XLightFM
from fmcompress.methods.xlightfm.options import SearchOptions, SpaceOptions

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
    SpaceOptions(candidates=SearchOptions().candidates),
    *(SpaceOptions(candidates=_SMALL_CANDIDATES, linear_codewords=linear) for linear in _LINEAR_CODEWORDS),
)
"""What is searched; the first with an architecture that fits a budget is taken."""


def untuned_codebooks(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with equal codebooks made by k-means, for each budget."""
    methods = [(f"PQ {sizes}, untuned", method) for sizes, method in _equal_sizes(task)]
    return _points(key, task, methods, replace(task.options.codebook_tuning(None), epochs=0))


def equal_codebooks(key: str, task: Task, *, moving: MovingOptions | None) -> Iterator[BaselinePoint]:
    """Yield the same sizes, tuned; codes move with ``moving``, or stand still where it is None."""
    codes = "fixed" if moving is None else "moving"
    methods = [(f"LightFM {sizes}, {codes} codes", method) for sizes, method in _equal_sizes(task)]
    return _points(key, task, methods, task.options.codebook_tuning(moving))


def searched_codebooks(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with codebooks of searched sizes, tuned, for each budget."""
    search = SearchOptions(steps=task.options.search_steps)
    methods = [
        (f"xLightFM, {space.candidates[0]} to {space.candidates[-1]} codewords", XLightFM(space, search))
        for space in SPACES
        if space.subspaces <= task.source.dim
    ]
    return _points(key, task, methods, task.options.codebook_tuning(MovingOptions()))


def _equal_sizes(task: Task) -> list[tuple[str, LightFM]]:
    """Return the sizes that the embeddings can be cut into, each as text for people."""
    return [
        (f"{sizes.subspaces} x {sizes.codewords}, linear {sizes.linear_codewords}", sizes)
        for sizes in SIZES
        if sizes.subspaces <= task.source.dim
    ]


def _points(
    key: str, task: Task, methods: Sequence[tuple[str, Method]], tuning: TuneOptions
) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the first method that meets it, by its name; budgets that none meets are left out."""
    for budget_bytes in task.budgets:
        for name, method in methods:
            job = Job(task.source, method, budget_bytes, task.data, tuning, task.options.seed, progress=task.progress)
            try:
                job.check()
            except BudgetError:
                continue
            model = pipeline.quantize(job)
            yield BaselinePoint(name, key, model.file_bytes, model)
            break
        else:
            task.progress.note(f"no codebooks of this baseline fit {budget_bytes:,} bytes")
