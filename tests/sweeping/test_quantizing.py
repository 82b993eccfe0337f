"""Budgets are worked on side by side where that pays, in their order, under names of their own."""

import time
from threading import Event
from types import SimpleNamespace

import pytest

from fmcompress import pipeline
from fmcompress.errors import DataError
from fmcompress.quantization import parallel
from fmcompress.sweeping import quantizing
from tests.models import random_checkpoint
from tests.notes import Notes

PLANNED = [(3000, "small"), (4000, "large")]


@pytest.mark.parametrize("cores", [1, 2])
def test_models_come_in_the_order_of_budgets_however_many_cores(monkeypatch, cores):
    def quantize(job, plan, measured):
        job.progress.note(plan)
        return job.budget_bytes, plan, measured

    notes = Notes()
    job = pipeline.open_job(random_checkpoint((90, 20), dim=4), 4000, progress=notes)
    measured = SimpleNamespace(counts=None, sensitivity=None)
    monkeypatch.setattr(pipeline, "quantize", quantize)
    monkeypatch.setattr(quantizing, "_works_side_by_side", lambda job, budgets: cores > 1)
    found = list(quantizing.quantize_all(job, PLANNED, measured))
    assert [model for model, _ in found] == [(3000, "small", measured), (4000, "large", measured)]
    names = ["", ""] if cores == 1 else ["3.0 KB (3,000 bytes): ", "4.0 KB (4,000 bytes): "]
    assert sorted(notes.lines) == sorted(f"{name}{plan}" for name, (_, plan) in zip(names, PLANNED, strict=True))


def test_budgets_without_tuning_and_large_checkpoints_come_one_after_another(monkeypatch):
    monkeypatch.setattr(quantizing, "usable_cores", lambda: 2)
    job = pipeline.open_job(random_checkpoint((90, 20), dim=4), 4000)
    tuned = SimpleNamespace(data=object(), tuning=job.tuning, checkpoint=job.checkpoint)
    assert quantizing._works_side_by_side(tuned, 2)
    assert not quantizing._works_side_by_side(tuned, 1)
    assert not quantizing._works_side_by_side(job, 2)
    monkeypatch.setattr(quantizing, "_LARGEST_BYTES", 100)
    assert not quantizing._works_side_by_side(tuned, 2)


def test_where_one_budget_fails_the_others_end_soon(monkeypatch):
    begun, ended = Event(), Event()

    def quantize(job, plan, measured):
        if plan == "small":
            assert begun.wait(30)
            raise DataError("a broken file")
        begun.set()
        try:
            while True:
                job.progress.advance()
                time.sleep(0.001)
        finally:
            ended.set()

    job = pipeline.open_job(random_checkpoint((90, 20), dim=4), 4000)
    monkeypatch.setattr(pipeline, "quantize", quantize)
    monkeypatch.setattr(parallel, "usable_cores", lambda: 2)
    monkeypatch.setattr(quantizing, "_works_side_by_side", lambda job, budgets: True)
    with pytest.raises(DataError):
        list(quantizing.quantize_all(job, PLANNED, SimpleNamespace(counts=None, sensitivity=None)))
    assert ended.wait(30)
