"""Out-of-fold predictions: which rows are whose, and what is written of them."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

import fmcompress as fc
from fmcompress.backbones import folds
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.data.batch import Fold, folds_of, rows_in_split
from fmcompress.data.rows import open_rows, open_training_rows
from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.predictors import predicted
from tests.data.rows import collected, write

HOW = TrainOptions(dim=2, l2=1e-3, lr=2e-2, batch_size=64, epochs=2)


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 12, 1013), rng.integers(0, 5, 1013)
    label = (rng.random(1013) < 1 / (1 + np.exp(-(a - 6) / 3 - (b - 2)))).astype(np.int64)
    return write(tmp_path / "rows.parquet", row_group_size=170, label=label, a=a, b=b)


@pytest.mark.parametrize("share", ["all", "most", "held-out"])
@pytest.mark.parametrize("count", [2, 5, 7, 20])
def test_each_row_of_a_share_is_in_one_fold(share, count):
    span = range(13, 1987)
    total = rows_in_split(span, share)
    own = [rows_in_split(span, Fold(share, number, count, without=False)) for number in range(count)]
    others = [rows_in_split(span, Fold(share, number, count, without=True)) for number in range(count)]
    assert sum(own) == total
    assert [one + other for one, other in zip(own, others, strict=True)] == [total] * count
    assert max(own) - min(own) <= 1


def test_rows_of_folds_are_those_of_their_numbers(data):
    rows, _ = open_training_rows(data, None)
    everything = collected(open_rows(data, rows.schema).batches())[0]
    most = np.flatnonzero(np.arange(1013) % 20 != 19)
    for fold in range(3):
        inside = folds_of(most, 3, "most") == fold
        for found, kept in ((rows.fold(fold, 3), inside), (rows.without_fold(fold, 3), ~inside)):
            assert collected(found.batches())[0] == [everything[row] for row in most[kept]]
            assert found.rows == kept.sum()
            assert found.sizes_in_order(np.random.default_rng(0)).sum() == found.rows


@pytest.mark.parametrize("held_out", [False, True])
def test_each_row_gets_the_prediction_of_the_model_that_did_not_see_it(data, tmp_path, monkeypatch, held_out):
    rows, valid = open_training_rows(data, None if held_out else data)
    written = open_rows(data, rows.schema, keep=("label", "a", "b"))
    models = []

    def noted(*args, **options):
        models.append(train(*args, **options))
        return models[-1]

    monkeypatch.setattr(folds, "train", noted)
    whole = train(rows, valid, HOW)
    path = tmp_path / "targets.parquet"
    folds.write_out_of_fold(whole, rows, valid, written, path, folds=3, options=replace(HOW, lr=None, l2=None))
    found, given = pq.read_table(path), pq.read_table(data)
    assert found.column_names == ["label", "a", "b", "prediction"]
    assert found.drop_columns("prediction").equals(given)
    assert {(model.lr, model.l2) for model in models} == {(HOW.lr, HOW.l2)}
    scores = [np.concatenate([own for _, own in predicted(model.checkpoint, written)]) for model in [*models, whole]]
    numbers = np.arange(1013)
    whose = np.where(numbers % 20 == 19, 3, folds_of(numbers, 3, "most")) if held_out else numbers % 3
    np.testing.assert_allclose(found["prediction"].to_numpy(), np.array(scores)[whose, numbers], rtol=1e-5)


def test_what_cannot_be_is_refused(data, tmp_path):
    rows, valid = open_training_rows(data, None)
    with pytest.raises(UsageError, match="1 folds, expected 2 to 100"):
        folds.check_folds(1)
    few = write(tmp_path / "few.parquet", label=[0, 1], a=[1, 2], b=[1, 2])
    few_rows = open_rows(few, rows.schema)
    whole = train(rows, valid, HOW)
    with pytest.raises(DataError, match="2 training rows, expected as many as there are folds, 3"):
        folds.write_out_of_fold(whole, few_rows, valid, few_rows, tmp_path / "x.parquet", folds=3)
    assert not (tmp_path / "x.parquet").exists()


def test_from_the_command_line(here, data, tmp_path):
    how = ("--dim", "2", "--l2", "1e-3", "--lr", "1e-2", "--epochs", "1", "-o", "fm.pt")
    done = here("train", data, *how, "--folds", "2", "--predictions", "targets.parquet")
    assert "targets.parquet: out-of-fold predictions for 1,013 rows" in done.stdout
    assert fc.load_checkpoint("fm.pt").dim == 2
    assert pq.read_metadata("targets.parquet").num_rows == 1013
    again = ("train", data, *how, "--force")
    assert "go together" in here(*again, "--folds", "2", rc=2).stderr
    assert "expected 2 to 100" in here(*again, "--folds", "1", "--predictions", "y.parquet", rc=2).stderr
    assert "are both fm.pt" in here(*again, "--folds", "2", "--predictions", "fm.pt", rc=2).stderr
    assert "is an input" in here(*again, "--folds", "2", "--predictions", data, rc=2).stderr
    text = tmp_path / "rows.libsvm"
    text.write_text("1 0:1 13:1\n0 1:1 12:1\n" * 20)
    with_text = ("train", text, "--fields", "a:12,b:5", *how, "--force", "--folds", "2", "--predictions", "y.parquet")
    assert "has no columns" in here(*with_text, rc=2).stderr
