"""Scores of rows that do not fit in memory are those of rows that do: ties, one label, millions of values and all."""

import math

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.data.rows import open_rows
from fmcompress.errors import OutputError
from fmcompress.evaluation import scores, spilled_rows
from fmcompress.evaluation.deviations import auc_change_error, change_error, standard_error
from fmcompress.evaluation.placements import auc_with_error
from fmcompress.evaluation.scores import HeldRows, StreamedRows, score_rows, scored_rows
from fmcompress.evaluation.spilled_rows import SpilledRows


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Blocks are small, and few rows are many."""
    monkeypatch.setattr(spilled_rows, "_BLOCK_ROWS", 1000)


def spilled(predictions, labels, *, regression=False):
    rows = SpilledRows()
    for first in range(0, len(labels), 777):
        rows.add(predictions[first : first + 777], labels[first : first + 777])
    return StreamedRows(rows, regression)


def drawn(rows, digits, seed=0):
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.2).astype(np.float32)
    logits = rng.normal(size=rows) * 3 + labels - 3
    both = [1 / (1 + np.exp(-logits - rng.normal(size=rows) * noise)) for noise in (0.1, 0.3)]
    return [each.round(digits).astype(np.float32) for each in both], labels


def figures(found):
    names = ("rows", "auc", "auc_standard_error", "logloss", "calibration", "rmse", "positives")
    return [getattr(found, name) for name in names]


@pytest.mark.parametrize("few", [1, 2**17])
@pytest.mark.parametrize(("rows", "digits"), [(4000, 9), (20_000, 2), (3000, 0), (5, 9), (1, 9)])
def test_scores_are_those_of_rows_in_memory(monkeypatch, rows, digits, few):
    monkeypatch.setattr(spilled_rows, "_FEW", few)
    (first, second), labels = drawn(rows, digits)
    both = [(HeldRows(each, labels), spilled(each, labels)) for each in (first, second)]
    for held, streamed in both:
        wanted = [math.nan if each is None else each for each in figures(held.scores)]
        np.testing.assert_allclose(figures(streamed.scores), wanted, rtol=1e-9, atol=1e-12)
        assert len(streamed) == rows
    held, streamed = zip(*both, strict=True)
    np.testing.assert_allclose(auc_change_error(*streamed), auc_change_error(*held), rtol=2e-3)
    if rows > 5:
        np.testing.assert_allclose(change_error("logloss", *streamed), change_error("logloss", *held), rtol=1e-9)
        assert standard_error("auc", streamed[0]) == pytest.approx(held[0].scores.auc_standard_error, rel=1e-4)
    assert math.isnan(auc_change_error(streamed[0], spilled(second, 1 - labels)))
    assert math.isnan(auc_change_error(streamed[0], streamed[0]))


def test_a_regression_and_a_single_label():
    (first, _), _labels = drawn(3000, 9)
    held, streamed = HeldRows(-first, first * 2, True), spilled(-first, first * 2, regression=True)
    assert streamed.scores.rmse == pytest.approx(held.scores.rmse)
    assert standard_error("rmse", streamed) == pytest.approx(standard_error("rmse", held))
    alone = spilled(first, np.ones(3000, np.float32)).scores
    assert math.isnan(alone.auc)
    assert alone.positives == 3000


def test_numbers_below_zero_are_in_order():
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=5000).round(2).astype(np.float32), (rng.random(5000) < 0.5).astype(np.float32)
    values[:100] *= 0  # some of them -0
    rows = spilled(values, labels).spilled
    assert rows.auc_with_error() == pytest.approx(auc_with_error(values[labels > 0], values[labels <= 0]))


def test_a_model_is_scored_the_same_either_way(monkeypatch, files):
    model = fc.load(files.tuned)
    rows = open_rows(files.test, model.schema)
    held = score_rows(model, rows)
    monkeypatch.setattr(scores, "IN_MEMORY_ROWS", 100)
    streamed = scored_rows(model, rows)
    assert isinstance(streamed, StreamedRows)
    np.testing.assert_allclose(figures(streamed.scores)[:-2], figures(held)[:-2], rtol=1e-9)


def test_no_room_is_said_in_one_line(monkeypatch):
    (first, _), labels = drawn(100, 9)

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spilled_rows.os, "pwrite", full)
    with pytest.raises(OutputError, match=r"cannot be kept in .*: No space left on device") as error:
        SpilledRows().add(first, labels)
    assert "TMPDIR" in error.value.hint
