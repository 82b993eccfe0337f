"""Points of a curve: which rows are measured on, what becomes of budgets that nothing meets."""

import math
from types import SimpleNamespace

import pytest

from fmcompress import pipeline
from fmcompress.artifact import Quality
from fmcompress.baselines import BaselinePoint
from fmcompress.errors import BudgetError
from fmcompress.evaluation.scores import Scores
from fmcompress.sweeping import points
from fmcompress.sweeping.points import SweepRows, quantize_to_budgets
from tests.models import random_checkpoint
from tests.notes import Notes

CHECKPOINT = random_checkpoint((300, 90, 1), dim=6)
TEST = SimpleNamespace(files=["test"])
TUNING = SimpleNamespace(valid=SimpleNamespace(files=["valid"]), files=["train", "valid"])


@pytest.mark.parametrize(
    ("rows", "measured", "measured_on", "files"),
    [
        (SweepRows(), None, None, []),
        (SweepRows(test=TEST), TEST, "test", ["test"]),
        (SweepRows(TUNING), TUNING.valid, "validation", ["train", "valid"]),
        (SweepRows(TUNING, TEST), TEST, "test", ["test", "train", "valid"]),
    ],
)
def test_models_are_measured_on_test_rows_or_else_on_validation_rows(rows, measured, measured_on, files):
    assert rows.measured is measured
    assert rows.measured_on == measured_on
    assert rows.files == files


def test_budgets_that_nothing_meets_say_the_least_that_can_be_had():
    notes = Notes()
    job = pipeline.open_job(CHECKPOINT, 4000, progress=notes)
    curve, models = quantize_to_budgets(job, (100, 4000), SweepRows(), iter(()))
    unmet, met = curve.points
    assert (unmet.name, unmet.budget_bytes, unmet.file_bytes, unmet.predicted_rise) == ("auto", 100, None, None)
    assert 100 < unmet.smallest_bytes <= met.file_bytes == models[4000].file_bytes <= 4000
    assert (met.smallest_bytes, met.quality, curve.measured_on) == (None, None, None)
    assert list(models) == [4000]
    assert curve.checkpoint.fp32_bytes == CHECKPOINT.fp32_bytes
    assert any(line.startswith("auto, ") for line in notes.lines)


def test_no_budget_at_all_that_something_meets():
    with pytest.raises(BudgetError, match="no budget is large enough") as caught:
        quantize_to_budgets(pipeline.open_job(CHECKPOINT, 90), (50, 90), SweepRows(), iter(()))
    assert caught.value.smallest_bytes > 90


def test_baselines_are_measured_and_told(monkeypatch):
    monkeypatch.setattr(points, "score_rows", lambda model, rows: Scores(20, 0.75, 0.5, 1.0))
    notes = Notes()
    job = pipeline.open_job(CHECKPOINT, 4000, progress=notes)
    compared = iter([BaselinePoint("FM, dim 2", "smaller-fm", 1234, CHECKPOINT)])
    curve, _ = quantize_to_budgets(job, (4000,), SweepRows(test=TEST), compared)
    last = curve.points[-1]
    assert (last.name, last.baseline, last.budget_bytes, last.file_bytes) == ("FM, dim 2", "smaller-fm", None, 1234)
    assert last.quality == curve.checkpoint.quality == Quality(20, 0.75, 0.5, auc_standard_error=math.nan)
    assert notes.lines[-1] == "FM, dim 2: test AUC 0.75000, LogLoss 0.50000"
