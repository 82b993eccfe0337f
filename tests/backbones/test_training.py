"""Training: what it reaches, what it keeps, how it finds the L2 weight."""

import re
from dataclasses import replace

import numpy as np
import pytest

from fmcompress.backbones.setting import LARGER_L2, MOST_TRIALS, Setting
from fmcompress.backbones.training import TrainOptions, train
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_training_rows
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.fm.schema import Schema
from fmcompress.training import trainable
from tests.conftest import SEED
from tests.notes import Notes

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 120), ("item", 60), ("hour", 24)])
QUICK = TrainOptions(dim=4, l2=1e-3, lr=1e-2, batch_size=512, epochs=6)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clicks")
    model = random_click_model(SCHEMA, dim=3, seed=SEED)
    for seed, (name, rows) in enumerate({"train": 12_000, "valid": 4_000}.items()):
        write_rows(draw_clicks(model, rows, seed=seed), SCHEMA, folder / f"{name}.parquet")
    wider = Schema.of([("user", 130), ("item", 60), ("hour", 24)])  # ten users are never seen
    return open_training_rows(folder / "train.parquet", folder / "valid.parquet", schema=wider)


@pytest.fixture(scope="module")
def trained(data):
    return train(*data, QUICK)


def test_it_learns_and_reports_the_scores_of_what_it_returns(data, trained):
    assert trained.scores.auc > 0.7
    assert score_rows(trained.checkpoint, data[1]) == trained.scores
    assert trained.l2 == 1e-3


def test_the_best_epoch_is_kept(data):
    notes = Notes()
    options = TrainOptions(dim=4, l2=0.0, lr=0.05, batch_size=512, epochs=12, calibrate=False)
    found = train(*data, options, progress=notes)
    seen = [line for line in notes.lines if "epoch" in line]
    best = [line for line in seen if "*" in line][-1]
    assert found.scores.auc == pytest.approx(float(best.split("AUC ")[1].split()[0]), abs=1e-5)
    assert found.scores.logloss == pytest.approx(float(re.search(r"LogLoss ([\d.]+)", best)[1]), abs=1e-5)
    assert any("*" not in line for line in seen)


def test_categories_that_were_never_seen_contribute_nothing(trained):
    unseen = trained.checkpoint.counts == 0
    assert unseen[120:130].all()
    assert not trained.checkpoint.embeddings[unseen].any()
    assert not trained.checkpoint.linear[unseen].any()
    assert trained.checkpoint.counts.sum() == 3 * 12_000


def test_the_same_seed_gives_the_same_model(data, trained):
    again = train(*data, QUICK)
    np.testing.assert_array_equal(again.checkpoint.embeddings, trained.checkpoint.embeddings)
    np.testing.assert_array_equal(again.checkpoint.linear, trained.checkpoint.linear)
    other = train(*data, TrainOptions(dim=4, l2=1e-3, lr=1e-2, batch_size=512, epochs=1, seed=1))
    assert not np.array_equal(other.checkpoint.linear, trained.checkpoint.linear)


def test_large_tables_are_trained_as_well_with_sparse_gradients(data, trained, monkeypatch):
    monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", 0)
    sparse = train(*data, QUICK)
    assert sparse.scores.auc == pytest.approx(trained.scores.auc, abs=0.02)


def test_without_numbers_it_finds_some_by_short_trainings(data):
    notes = Notes()
    found = train(*data, TrainOptions(dim=4, batch_size=512, epochs=2), progress=notes)
    short = [line for line in notes.lines if "epoch 1 of at most 2" in line]
    assert 4 < len(short) <= MOST_TRIALS + 2
    (told,) = [line for line in notes.lines if "short trainings" in line]
    assert any(told.startswith(str(Setting(found.lr, found.l2 / larger))) for larger in (1, LARGER_L2))
    assert found.scores.auc > 0.7


def test_calibrated_logits_are_what_two_numbers_make_of_them(data):
    over = TrainOptions(dim=4, l2=3e-2, lr=1e-2, batch_size=512, epochs=3)
    plain, calibrated = (train(*data, replace(over, calibrate=calibrate)) for calibrate in (False, True))
    assert plain.calibration.identity
    assert calibrated.calibration.scale > 1.05  # a large L2 weight leaves logits too small
    assert calibrated.scores.logloss == pytest.approx(plain.scores.calibrated_logloss, abs=1e-5)
    assert calibrated.scores.auc == pytest.approx(plain.scores.auc, abs=1e-5)
    assert score_rows(calibrated.checkpoint, data[1]) == calibrated.scores


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 0}, {"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"l2": -1.0}],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TrainOptions(**wrong)
