"""The loop of epochs: what it keeps, when it falls back and ends, what it tells, and where it goes on."""

import json
from itertools import chain, pairwise

import pytest

from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.progress import SILENT, Progress
from fmcompress.training import loop, run_state
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.run_state import RunFiles, open_run_state
from tests.training.scripted import MemoryRows, Scripted, scores

ROWS, BATCH = MemoryRows(10), 4  # three steps an epoch
VALID = MemoryRows(2)


class Broken(Exception):
    pass


@pytest.fixture
def train(monkeypatch):
    """Return a function that trains while validation says what it is told to, epoch by epoch."""

    def work(selections, training=None, *, patience=None, steps=None, seed=0, progress=SILENT, **more):
        told = iter(selections)
        monkeypatch.setattr(loop, "score_rows", lambda model, rows, scorer: scores(next(told)))
        training = training or Scripted()
        schedule = Schedule(BATCH, len(selections), patience, seed, steps)
        return training, fit(training, ROWS, VALID, schedule, title="search", progress=progress, **more)

    return work


@pytest.fixture
def judge(monkeypatch):
    """Return a function that trains while validation gives the scores that it is told to, model by model."""

    class Rescaled(Scripted):
        most = float("inf")

        def rescaled(self, kept, by):
            return 100 * kept * by.scale

        def admissible(self, kept):
            return kept <= self.most

    def work(found, *, start=None, most=float("inf"), calibrate=False, select="both"):
        told = iter(found)
        monkeypatch.setattr(loop, "score_rows", lambda model, rows, scorer: next(told))
        training = Rescaled()
        training.most = most
        schedule = Schedule(BATCH, len(found) - calibrate, None, 0, calibrate=calibrate, select=select)
        return fit(training, ROWS, VALID, schedule, title="search", progress=SILENT, start=start)

    return work


def test_the_best_state_is_kept_and_not_the_last(train):
    training, found = train([0.1, 0.4, 0.3, 0.2])
    assert (found.model, found.best_epoch, found.epochs) == (6.0, 2, 4)
    assert found.scores == scores(0.4)
    assert training.kept() == 12.0
    assert training.begun == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_epoch_must_be_better_by_more_than_noise(train):
    assert train([0.4, 0.400001, 0.40002])[1].best_epoch == 3
    assert train([0.4, 0.400001])[1].best_epoch == 1


def test_every_epoch_sees_all_rows_in_an_order_of_its_own(train):
    training, _ = train([0.1, 0.2])
    assert [len(batch) for batch in training.seen] == [4, 4, 2] * 2
    first, second = (list(chain(*training.seen[start : start + 3])) for start in (0, 3))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert train([0.1, 0.2])[0].seen == training.seen
    assert train([0.1, 0.2], seed=1)[0].seen != training.seen


def test_a_model_to_beat_is_returned_where_no_epoch_is_better(train):
    _, found = train([0.1, 0.2], start=(-1.0, scores(0.3)))
    assert (found.model, found.scores, found.best_epoch, found.epochs) == (-1.0, scores(0.3), 0, 2)
    assert train([0.1, 0.4], start=(-1.0, scores(0.3)))[1].best_epoch == 2


def judged(auc, logloss, scale=1.0):
    """Return scores on 10,000 rows; where there is a scale, it takes .01 of the LogLoss away."""
    best = logloss - 0.01 * (scale != 1)
    return Scores(10_000, auc, logloss, 1.0, calibrated_logloss=best, scale=scale)


def test_states_with_less_auc_than_the_start_are_not_chosen(judge):
    start, epochs = judged(0.8, 0.5), [judged(0.7999, 0.3), judged(0.8001, 0.49), judged(0.8003, 0.495)]
    for select, best in (("both", 2), ("auc", 3), ("logloss", 1)):
        assert judge(epochs, start=(-1.0, start), select=select).best_epoch == best
    assert judge(epochs).best_epoch == 1  # without a start there is nothing to be worse than


def test_models_that_are_not_admissible_are_not_chosen(judge):
    epochs = [judged(0.9, 0.3), judged(0.85, 0.4)]
    assert judge(epochs, start=(-1.0, judged(0.8, 0.5)), most=4.0).best_epoch == 1
    assert judge(epochs, start=(-1.0, judged(0.8, 0.5)), most=2.0).best_epoch == 0


def test_states_are_calibrated_before_they_are_compared(judge):
    after = judged(0.8, 0.44)
    found = judge([judged(0.8, 0.45, 1.5), after, judged(0.8, 0.445)], calibrate=True)
    assert (found.model, found.scores) == (300 * 1.5, after)  # the second scores are of the calibrated first epoch
    plain = judge([judged(0.8, 0.45, 1.5), judged(0.8, 0.445)])
    assert (plain.model, plain.best_epoch) == (3.0, 1)
    worse = judge([judged(0.8, 0.45, 1.5), judged(0.8, 0.46), judged(0.8, 0.47)], calibrate=True)
    assert worse.model == 3.0  # rounding took what calibration gained


def test_without_an_epoch_there_must_be_a_model_to_beat(train):
    assert train([], start=(-1.0, scores(0.3)))[1].model == -1.0
    with pytest.raises(UsageError, match="epochs is 0"):
        train([])


def test_where_validation_stands_still_the_best_state_is_taken_up_again(train):
    training, found = train([0.1, 0.5, 0.4, 0.3, 0.6, 0.2], patience=2)
    assert training.fallen == [6.0]  # after epoch 4 the state of epoch 2
    assert (found.model, found.best_epoch) == (9.0, 5)


def test_after_two_drops_of_the_learning_rate_training_ends(train):
    training, found = train([0.5] + [0.1] * 20, patience=2)
    assert training.fallen == [3.0, 3.0]
    assert (found.epochs, found.best_epoch) == (7, 1)


def test_without_patience_all_epochs_are_gone_through(train):
    training, found = train([0.5] + [0.1] * 20)
    assert (training.fallen, found.epochs) == ([], 21)


def test_steps_are_limited(train):
    training, found = train([0.1, 0.2], steps=5)
    assert [len(batch) for batch in training.seen] == [4, 4, 2, 4, 4]
    assert (found.model, found.epochs) == (5.0, 2)


def test_the_history_tells_steps_and_epochs(train, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_LINE_EVERY", 2)
    files = open_run_state(RunFiles(history=tmp_path / "h.jsonl"), {})
    train([0.1, 0.4, 0.2], start=(0.0, scores(0.0)), run_state=files)
    _, *lines = map(json.loads, (tmp_path / "h.jsonl").read_text().splitlines())
    assert {line["stage"] for line in lines} == {"search"}
    assert all(late["seconds"] >= early["seconds"] for early, late in pairwise(lines))
    steps = [(line["epoch"], line["step"], line["loss"]) for line in lines if line["event"] == "step"]
    # The loss of step n is 0.5 − n, counted from 0; a line has the mean since the last one.
    assert steps == [(1, 2, 0.0), (2, 5, -3.0), (3, 8, -6.0)]
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [(line["epoch"], line["step"], line["loss"]) for line in epochs] == [
        *((0, 0, None), (1, 3, -0.5), (2, 6, -3.5), (3, 9, -6.5))
    ]
    assert [line["best"] for line in epochs] == [True, True, True, False]
    assert epochs[2]["logloss"] == pytest.approx(0.1)
    assert all(line["bytes"] is None and line["lr"] == 1.0 for line in epochs)


def test_progress_is_told_of_steps_and_of_epochs(train):
    class Told(Progress):
        def __init__(self):
            self.notes, self.bars, self.steps = [], [], 0

        def note(self, message):
            self.notes.append(message)

        def start(self, what, total):
            self.bars.append((what, total))

        def advance(self, steps=1, figures=""):
            self.steps += steps

    told = Told()
    train([0.3, 0.1], progress=told)
    assert told.bars == [("search, epoch 1 of at most 2", 3), ("search, epoch 2 of at most 2", 3)]
    assert told.steps == 6
    assert told.notes == [
        "search, epoch 1 of at most 2: loss -0.5000, validation AUC 0.50000, LogLoss 0.20000 *, at most 1 min left",
        "search, epoch 2 of at most 2: loss -3.5000, validation AUC 0.50000, LogLoss 0.40000",
    ]


class Breaking(Scripted):
    """Training that is broken off after some steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def step(self, batch):
        if not self.left:
            raise Broken
        self.left -= 1
        return super().step(batch)


SELECTIONS = [0.1, 0.5, 0.2, 0.2, 0.3, 0.2, 0.1]


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["saved after every step", "after every epoch"])
@pytest.mark.parametrize("steps", range(1, 18, 2))
def test_broken_off_and_gone_on_with(train, tmp_path, monkeypatch, every, steps):
    monkeypatch.setattr(run_state, "_SAVE_EVERY_S", every)
    whole, expected = train(SELECTIONS, patience=2)
    with pytest.raises(Broken):
        train(SELECTIONS, Breaking(steps), patience=2, run_state=open_run_state(RunFiles(tmp_path / "state"), {}))
    epochs, again = steps // 3, Scripted()
    gone_on = open_run_state(RunFiles(tmp_path / "state", resume=True), {})
    # The schedule counts all epochs; validation has been asked in those that are over.
    told = iter(SELECTIONS[epochs:])
    monkeypatch.setattr(loop, "score_rows", lambda model, rows, scorer: scores(next(told)))
    schedule = Schedule(BATCH, len(SELECTIONS), 2, 0)
    found = fit(again, ROWS, VALID, schedule, title="search", progress=SILENT, run_state=gone_on)
    assert repr(found) == repr(expected)
    assert whole.seen[steps if every == 0 else 3 * epochs :] == again.seen
    assert whole.fallen == [6.0, 6.0]


def test_the_state_of_another_phase_is_not_taken_up(train, tmp_path):
    saved = open_run_state(RunFiles(tmp_path / "state"), {})
    saved.save("tuning", {"run": "another"}, "epoch 3 of the tuning")
    training, found = train([0.1], run_state=open_run_state(RunFiles(tmp_path / "state", resume=True), {}))
    assert (len(training.seen), found.model) == (3, 3.0)
