"""Training: what it reaches, what it keeps, how it finds the L2 weight."""

import re

import numpy as np
import pytest

from fmcompress.backbones import training
from fmcompress.backbones.training import TrainedFM, TrainOptions, train
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_training_rows
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.fm.schema import Schema
from fmcompress.training import trainable
from tests.conftest import SEED
from tests.models import random_checkpoint
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
    found = train(*data, TrainOptions(dim=4, l2=0.0, lr=0.05, batch_size=512, epochs=12), progress=notes)
    seen = [line for line in notes.lines if "epoch" in line]
    best = max(
        float(line.split("AUC ")[1].split()[0]) - float(re.search(r"LogLoss ([\d.]+)", line)[1]) for line in seen
    )
    assert found.scores.selection == pytest.approx(best, abs=2e-5)
    assert "*" not in seen[-1]  # it went on after the best one, and came back


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


@pytest.mark.parametrize("best", [1e-5, 1e-4, 10**-2.5, 1e-1])
def test_the_search_for_l2_finds_the_best_weight_of_a_hill(data, monkeypatch, best):
    def trial(rows, valid, options, l2, progress):
        scores = Scores(1, 0.5, abs(np.log10(l2 / best)), 1.0)
        return TrainedFM(random_checkpoint((2,), dim=1), scores, l2, 1)

    monkeypatch.setattr(training, "_train", trial)
    assert train(*data, TrainOptions()).l2 == pytest.approx(best)


@pytest.mark.parametrize(
    "wrong",
    [{"dim": 0}, {"epochs": 0}, {"batch_size": 0}, {"patience": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"l2": -1.0}],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        TrainOptions(**wrong)
