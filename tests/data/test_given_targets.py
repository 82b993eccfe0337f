"""Predictions in a column of the training rows take the place of labels, and wrong ones are told before anything."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_tuning_data
from fmcompress.data.shuffle import shuffled
from tests.models import random_checkpoint

CHECKPOINT = random_checkpoint((9, 5), dim=3)
ROWS = 200
LABELS = np.arange(ROWS) % 2
TEACHER = np.linspace(0, 1, ROWS)


def _file(folder, teacher, name="train.parquet"):
    columns = {name: np.arange(ROWS) % size for name, size in zip(CHECKPOINT.schema.names, (9, 5), strict=True)}
    table = pa.table({"label": LABELS, **columns, "teacher": teacher})
    pq.write_table(table, folder / name, row_group_size=70)
    return folder / name


def _opened(path, valid=None, **given):
    return open_tuning_data(CHECKPOINT, path, path if valid is None else valid, DataOptions(), **given)


@pytest.mark.parametrize(("share", "expected"), [(1.0, TEACHER), (0.0, LABELS), (0.25, 0.75 * LABELS + 0.25 * TEACHER)])
def test_they_are_mixed_with_labels(tmp_path, share, expected):
    data = _opened(_file(tmp_path, TEACHER), targets="teacher")
    found = np.concatenate([batch.labels for batch in data.learned(share).batches()])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    of_all = np.concatenate([batch.labels for batch in shuffled(data.learned(share), 64, seed=1)])
    np.testing.assert_allclose(np.sort(of_all), np.sort(expected), atol=1e-6)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in data.rows.batches()]), LABELS)


def test_rows_that_are_held_out_are_not_learned(tmp_path):
    data = open_tuning_data(CHECKPOINT, _file(tmp_path, TEACHER), None, DataOptions(), targets="teacher")
    assert data.learned(1.0).rows == data.rows.rows == ROWS - ROWS // 20
    found = np.concatenate([batch.labels for batch in data.learned(1.0).batches()])
    np.testing.assert_allclose(found, TEACHER[np.arange(ROWS) % 20 != 19], atol=1e-6)


def test_without_a_column_there_is_nothing_to_learn(tmp_path):
    assert _opened(_file(tmp_path, TEACHER)).learned(1.0) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (1.25, "row 150: teacher is 1.25"),
        (-0.5, "is -0.5"),
        (np.nan, "is nan"),
        (np.inf, "is inf"),
        (None, "is missing"),
    ],
)
def test_wrong_ones_are_told_when_rows_are_opened(tmp_path, wrong, told):
    values = TEACHER.tolist()
    values[150] = wrong
    with pytest.raises(fc.DataError, match=f"{told}.*expected a number from 0 to 1"):
        _opened(_file(tmp_path, values), targets="teacher")


def test_a_column_that_is_not_there_or_of_text_is_told(tmp_path):
    with pytest.raises(fc.DataError, match=r"'nobody' is missing, found label"):
        _opened(_file(tmp_path, TEACHER), targets="nobody")
    with pytest.raises(fc.DataError, match="teacher"):
        _opened(_file(tmp_path, ["much"] * ROWS), targets="teacher")


def test_targets_need_rows():
    with pytest.raises(fc.UsageError, match="targets without training data"):
        open_tuning_data(CHECKPOINT, None, None, DataOptions(), targets="teacher")


def test_quantize_learns_them(files, tmp_path):
    checkpoint = fc.load_checkpoint(files.fm)
    rows, found = pq.read_table(files.train), {}
    labels = rows["label"].to_numpy().astype(float)
    for name, teacher in (("labels", labels), ("turned", 1 - labels)):
        path = tmp_path / f"{name}.parquet"
        pq.write_table(rows.append_column("teacher", pa.array(teacher)), path)
        tuning = fc.TuneOptions(epochs=1, lr=2e-2, select="logloss")
        model = fc.quantize(
            checkpoint, "4KB", train=path, valid=files.valid, targets="teacher", tuning=tuning, device="cpu"
        )
        found[name] = fc.evaluate(model, files.valid).auc
    assert found["labels"] >= found["turned"]
