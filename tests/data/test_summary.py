"""What rows hold, and what is doubtful of them."""

import numpy as np
import pytest

from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import count_categories, doubts_of, open_rows
from fmcompress.data.summary import (
    LEAST_OF_A_LABEL,
    LEAST_TO_TUNE_ON,
    RowSummary,
    doubts_of_training,
    doubts_of_validation,
    summarize,
)
from fmcompress.fm.field_specs import parse_fields

MIXED = parse_fields("user:3,item:2,liked=item,price:numeric,age:linear")


def batch(ids, labels, values):
    return Batch(np.int32(ids), np.float32(labels), np.float32(values))


def summary(rows=5000, positives=2500, labels=(0.0, 1.0), unseen=()):
    return RowSummary(rows, np.zeros(1, np.int64), labels, positives, unseen)


def found(doubts):
    return [doubt.found for doubt in doubts]


def test_one_pass_counts_all():
    made = summarize(MIXED, [batch([[0, 1, -1], [2, -1, -1]], [1, 0], [[0, 0], [0.5, 0]]),
                             batch([[-1, 1, -1]], [1], [[0, 0]])])  # fmt: skip
    assert made.counts.tolist() == [1, 0, 1, 0, 2]
    assert (made.rows, made.positives, made.labels) == (3, 2, (0, 1))
    assert made.unseen == ("liked", "age")


def test_a_regression_has_two_labels_and_no_labels_are_none():
    ids, values = [[0, 0, 0]] * 3, [[1, 1]] * 3
    assert summarize(MIXED, [batch(ids, [2, 5, 3], values)]).labels == (2, 5)
    assert summarize(MIXED, [batch(ids, [4, 4, 4], values)]).labels == (4,)
    assert summarize(MIXED, [batch(ids, [np.nan] * 3, values)]).labels == ()


def test_rows_are_counted_once(tmp_path, monkeypatch):
    schema = parse_fields("a:3,b:2")
    write_rows(Batch(np.int32([[0, 1], [2, 1]]), np.float32([0, 1])), schema, tmp_path / "rows.parquet")
    rows = open_rows(tmp_path / "rows.parquet", schema)
    assert count_categories(rows).tolist() == [1, 0, 1, 0, 2]
    monkeypatch.setattr(rows, "batches", None)
    assert rows.summary.positives == 1
    assert len(found(doubts_of(rows, rows))) == 2


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (summary(), []),
        (summary(rows=LEAST_TO_TUNE_ON, positives=1), []),
        (summary(rows=999), ["there are 999 training rows"]),
        (summary(labels=(1.0,)), ["all 5,000 training rows have label 1"]),
        (summary(labels=(3.5,)), ["all 5,000 training rows have label 3.5"]),
        (summary(unseen=("a",)), ["no training row has a value of field 'a'"]),
        (summary(unseen=tuple("abcde")), ["no training row has a value of fields 'a', 'b', 'c' and 2 more"]),
        (summary(unseen=("x\n" * 50,)), [f"no training row has a value of field {chr(39)}" + "x\\\\n" * 6]),
    ],
)
def test_doubts_of_training(rows, told):
    assert all(text.startswith(start) for text, start in zip(found(doubts_of_training(rows)), told, strict=True))


@pytest.mark.parametrize(
    ("rows", "regression", "told"),
    [
        (summary(), False, []),
        (summary(positives=LEAST_OF_A_LABEL), False, []),
        (summary(positives=29), False, ["29 of 5,000 validation rows have label 1"]),
        (summary(positives=4999), False, ["1 of 5,000 validation rows has label 0"]),
        (summary(rows=1, positives=0, labels=(0.0,)), False, ["the only validation row has label 0"]),
        (summary(positives=0, labels=(0.0,)), False, ["all 5,000 validation rows have label 0"]),
        (summary(rows=29, positives=3, labels=(1.0, 5.0)), True, ["there are 29 validation rows"]),
        (summary(rows=30, positives=3, labels=(1.0, 5.0)), True, []),
        (summary(unseen=("a", "b")), True, ["no validation row has a value of fields 'a', 'b'"]),
    ],
)
def test_doubts_of_validation(rows, regression, told):
    assert found(doubts_of_validation(rows, regression=regression)) == told


def test_a_doubt_says_what_follows():
    (doubt,) = doubts_of_training(summary(rows=20))
    assert str(doubt) == (
        "there are 20 training rows: tuning takes 1,000 or more, and what is fitted to fewer may be chance"
    )
