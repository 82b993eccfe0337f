"""Codebooks of baselines: for each budget the first sizes that fit, and none that the embeddings cannot be cut into."""

from dataclasses import replace

import pytest

from fmcompress.baselines import product_quantization
from fmcompress.baselines.product_quantization import SIZES, equal_codebooks, searched_codebooks, untuned_codebooks
from tests.notes import Notes


@pytest.fixture
def jobs(monkeypatch):
    """Jobs that would be quantized; each is its own model."""
    found = []

    class Model:
        def __init__(self, job):
            self.file_bytes = job.budget_bytes
            found.append(job)

    monkeypatch.setattr(product_quantization.pipeline, "quantize", Model)
    return found


def test_the_first_sizes_that_fit_are_taken(task, jobs):
    names = [point.name for point in untuned_codebooks("uniform-pq", task)]
    assert len(names) == len(jobs) == len(task.budgets) - 1  # the first cannot be met
    for job, name in zip(jobs, names, strict=True):
        at = SIZES.index(job.method)
        assert name == f"PQ {SIZES[at].subspaces} x {SIZES[at].codewords}, linear {SIZES[at].linear_codewords}, untuned"
        assert job.method.plan(job, None).file_bytes <= job.budget_bytes
        larger = replace(job, budget_bytes=None)
        sizes = [method.plan(replace(larger, method=method), None).file_bytes for method in SIZES[:at]]
        assert all(size > job.budget_bytes for size in sizes)
        assert job.tuning.epochs == 0


def test_budgets_that_no_sizes_meet_are_told_and_left_out(task, jobs):
    notes = Notes()
    assert list(equal_codebooks("authors", replace(task, budgets=(100, 50), progress=notes), moving=None)) == []
    assert notes.lines == [f"no codebooks of this baseline fit {budget} bytes" for budget in (100, 50)]
    assert jobs == []


def test_codes_stand_still_or_move(task, jobs):
    for moving in (None, product_quantization.MovingOptions(candidates=3)):
        point = next(equal_codebooks("key", task, moving=moving))
        assert jobs[-1].tuning.moving == moving
        assert point.name.endswith(f", {'moving' if moving else 'fixed'} codes")
        assert (point.baseline, jobs[-1].tuning.epochs) == ("key", task.options.epochs)


def test_the_search_takes_the_first_space_that_fits(task, jobs):
    names = [point.name for point in searched_codebooks("xlightfm", task)]
    assert len(names) == len(jobs) == 2
    assert all(job.method.search.steps == task.options.search_steps for job in jobs)
    for job, name in zip(jobs, names, strict=True):
        candidates = job.method.space.candidates
        assert name == f"xLightFM, {candidates[0]} to {candidates[-1]} codewords"
