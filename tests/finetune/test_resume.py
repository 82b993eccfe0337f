"""A run that is broken off anywhere and resumed: the same model and the same history as of an unbroken one."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_rows
from fmcompress.errors import StateError
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.tuner import TunedModel, begin_tuning
from fmcompress.fm.schema import Schema
from fmcompress.methods.lightfm import code_assignment
from fmcompress.progress import Progress
from fmcompress.training import loop as training
from fmcompress.training import run_state as run_state_module
from fmcompress.training import trainable
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.run_state import RunFiles, open_run_state, read_state, write_state
from tests.conftest import SEED
from tests.finetuned import finetune

pytestmark = pytest.mark.slow

SCHEMA = Schema.of([("user", 60), ("item", 40), ("city", 7)])
CLICKS = random_click_model(SCHEMA, dim=4, seed=SEED)
OPTIONS = TuneOptions(epochs=8, batch_size=128, lr=0.03)  # 8 steps an epoch; the learning rate falls
EVERY = {"saved after every step": 0.0, "after every epoch": 1e9}


class Broken(Exception):
    pass


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Return a function that tunes, from its beginning or from its saved state."""
    folder = tmp_path_factory.mktemp("rows")
    for seed, name in enumerate(("train", "valid")):
        write_rows(draw_clicks(CLICKS, 1000, seed=seed), SCHEMA, folder / f"{name}.parquet")
    rows, valid = (open_rows(folder / f"{name}.parquet", SCHEMA) for name in ("train", "valid"))
    import fmcompress as fc

    teacher = fc.FMCheckpoint(SCHEMA, CLICKS.bias, CLICKS.linear, CLICKS.embeddings)
    model = fc.quantize(teacher, 1500, layout="plain")
    start = score_rows(model, valid)

    def work(files=None, resume=False, **more):
        run_state = open_run_state(replace(files or RunFiles(), resume=resume), {"seed": 0})
        settings = {"start": start, "options": OPTIONS, **more}
        return finetune(model, rows, valid, teacher=teacher, run_state=run_state, **settings)

    work.rows, work.valid, work.model, work.teacher, work.start = rows, valid, model, teacher, start
    return work


@contextmanager
def breaking_after(steps):
    """Let a run end with an error after so many steps, which it must reach."""
    with at_most(steps), pytest.raises(Broken):
        yield


@contextmanager
def at_most(steps):
    """Let a run end with an error where it makes more steps."""
    step, count = TunedModel.step, iter(range(steps))

    def counted(run, batch):
        if next(count, None) is None:
            raise Broken
        return step(run, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TunedModel, "step", counted)
        yield


def content(found):
    return found.model.values.tobytes(), found.model.bias, repr(found.scores), found.epochs, found.best_epoch


def history(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def unbroken(job, tmp_path_factory):
    path = tmp_path_factory.mktemp("unbroken") / "history.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_LINE_EVERY", 3)
        found = job(RunFiles(history=path))
    return found, history(path)


def test_keeping_files_does_not_change_the_model(job, unbroken):
    assert content(job()) == content(unbroken[0])
    assert unbroken[0].epochs > 4  # and the learning rate has fallen
    assert len({line["lr"] for line in unbroken[1][1:]}) > 1


@pytest.mark.parametrize("every", EVERY)
@pytest.mark.parametrize("breaks", [(1,), (7,), (8,), (9,), (20,), (24, 3, 11), (33, 1)], ids=str)
def test_broken_anywhere(job, unbroken, tmp_path, monkeypatch, every, breaks):
    monkeypatch.setattr(run_state_module, "_SAVE_EVERY_S", EVERY[every])
    monkeypatch.setattr(training, "_LINE_EVERY", 3)
    files = RunFiles(tmp_path / "state", tmp_path / "history.jsonl")
    for number, steps in enumerate(breaks):
        with breaking_after(steps):
            job(files, resume=number > 0)
    assert content(job(files, resume=True)) == content(unbroken[0])
    assert history(files.history) == unbroken[1]


def test_no_step_is_made_twice_where_each_has_been_saved(job, unbroken, tmp_path, monkeypatch):
    monkeypatch.setattr(run_state_module, "_SAVE_EVERY_S", 0.0)
    files = RunFiles(tmp_path / "state")
    total = unbroken[0].epochs * 8
    for steps in (13, total - 13 - 1):
        with breaking_after(steps):
            job(files, resume=files.state.exists())
    with at_most(1):
        assert content(job(files, resume=True)) == content(unbroken[0])
    with at_most(0):  # broken off between the last epoch and the output
        assert content(job(files, resume=True)) == content(unbroken[0])


def test_sparse_gradients_too(job, tmp_path, monkeypatch):
    monkeypatch.setattr(trainable, "_MOST_DENSE_VALUES", 0)
    files = RunFiles(tmp_path / "state")
    with breaking_after(21):
        job(files)
    assert content(job(files, resume=True)) == content(job())


def test_codes_that_move_too(job, tmp_path, monkeypatch):
    """Between two times of finding the nearest codewords, too."""
    monkeypatch.setattr(code_assignment, "_REFRESH_STEPS", 15)
    monkeypatch.setattr(run_state_module, "_SAVE_EVERY_S", 0.0)
    poor = replace(job.start, auc=0.1, logloss=9.0, calibrated_logloss=9.0)  # any epoch is better
    settings = {"options": replace(OPTIONS, moving=MovingOptions(candidates=4)), "start": poor}
    whole = job(**settings)
    assert not np.array_equal(whole.model.codes, job.model.codes)
    files = RunFiles(tmp_path / "state")
    for number, steps in enumerate((7, 15, 11)):
        with breaking_after(steps):
            job(files, resume=number > 0, **settings)
    found = job(files, resume=True, **settings)
    assert content(found) == content(whole)
    assert found.model.codes.tobytes() == whole.model.codes.tobytes()


def test_a_history_begun_while_resuming(job, unbroken, tmp_path):
    with breaking_after(17):
        job(RunFiles(tmp_path / "state"))
    job(RunFiles(tmp_path / "state", tmp_path / "history.jsonl"), resume=True)
    epochs = [line for line in unbroken[1] if line["event"] == "epoch"]
    assert history(tmp_path / "history.jsonl")[1:] == epochs[3:]


def test_promised_keys(unbroken):
    start, *steps = unbroken[1]
    assert start == {"event": "start", "seed": 0}
    shared = {"event", "stage", "epoch", "step", "loss", "lr"}
    for line in steps:
        scored = {"auc", "logloss", "rmse", "bytes", "best"} if line["event"] == "epoch" else set()
        assert set(line) == shared | scored
    epochs = [line for line in steps if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(unbroken[0].epochs + 1))
    assert [line["step"] for line in epochs] == [8 * line["epoch"] for line in epochs]
    assert [line["epoch"] for line in epochs if line["best"]][-1] == unbroken[0].best_epoch
    made = [line["step"] for line in steps if line["event"] == "step"]
    assert made[:4] == [3, 6, 11, 14]


def test_losses_are_means(job, unbroken, tmp_path, monkeypatch):
    seen = []
    step = TunedModel.step

    def watched(run, batch):
        seen.append(step(run, batch).item())
        return torch.tensor(seen[-1])

    monkeypatch.setattr(TunedModel, "step", watched)
    monkeypatch.setattr(training, "_LINE_EVERY", 3)
    job(RunFiles(history=tmp_path / "history.jsonl"))
    lines = history(tmp_path / "history.jsonl")
    steps = [line["loss"] for line in lines if line["event"] == "step"]
    assert steps[:3] == pytest.approx([np.mean(seen[:3]), np.mean(seen[3:6]), np.mean(seen[8:11])])
    epochs = [line["loss"] for line in lines if line["event"] == "epoch"]
    assert epochs[:3] == pytest.approx([None, np.mean(seen[:8]), np.mean(seen[8:16])])


class NoisyModel(TunedModel):
    """A model in training with noise of its own, which it remembers, and a figure for the history."""

    def __init__(self, *args, **more):
        super().__init__(**vars(begin_tuning(*args, **more)))
        self.generator = torch.Generator().manual_seed(5)
        self.tau = 1.0

    def step(self, batch):
        self.tau *= 0.99
        with torch.no_grad():
            self.module.bias += self.tau * 1e-2 * torch.randn((), generator=self.generator)
        return super().step(batch)

    def figures(self):
        return {"tau": self.tau}

    def state_dict(self):
        return {**super().state_dict(), "generator": self.generator.get_state(), "tau": self.tau}

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.generator.set_state(state["generator"])
        self.tau = state["tau"]


@pytest.mark.parametrize("steps", [3, 16, 27])
def test_two_phases_with_noise_of_their_own(job, tmp_path, monkeypatch, steps):
    """A search whose result is kept, and a tuning after it."""
    monkeypatch.setattr(run_state_module, "_SAVE_EVERY_S", 0.0)
    schedule = Schedule(batch_size=128, epochs=2, patience=None, seed=0)

    def search(run_state):
        if run_state.result("search") is None:
            run = NoisyModel(job.model, job.teacher, OPTIONS, steps=16)
            found = fit(run, job.rows, job.valid, schedule, title="search", progress=Progress(), run_state=run_state)
            run_state.finish("search", {"bias": found.model.bias})
        options = replace(OPTIONS, lr=1e-3 + abs(run_state.result("search")["bias"]) / 100)
        run = NoisyModel(job.model, job.teacher, options, steps=16)
        return fit(run, job.rows, job.valid, schedule, title="tuning", progress=Progress(), run_state=run_state)

    whole = search(open_run_state(RunFiles(tmp_path / "a", tmp_path / "a.jsonl"), {"seed": 0}))
    files = RunFiles(tmp_path / "b", tmp_path / "b.jsonl")
    with breaking_after(steps):
        search(open_run_state(files, {"seed": 0}))
    assert content(search(open_run_state(replace(files, resume=True), {"seed": 0}))) == content(whole)
    lines = history(tmp_path / "b.jsonl")
    assert lines == history(tmp_path / "a.jsonl")
    assert {line["stage"] for line in lines[1:]} == {"search", "tuning"}
    assert all("tau" in line for line in lines if line["event"] == "epoch")


@pytest.mark.parametrize("part", ["run", "best", "losses", "course"])
def test_a_sealed_state_of_another_shape_is_refused(job, tmp_path, part):
    files = RunFiles(tmp_path / "state")
    with breaking_after(12):
        job(files)
    state = read_state(files.state)
    for wrong in (
        {"course": {k: v for k, v in state["course"].items() if k != part}},
        {"course": {**state["course"], part: 7}},
    ):
        write_state(files.state, {**state, **wrong})
        with pytest.raises(StateError, match="is damaged"):
            job(files, resume=True)


def test_the_lines_of_progress(job):
    class Told(Progress):
        def __init__(self):
            self.lines, self.bars = [], []

        def note(self, message):
            self.lines.append(message)

        def advance(self, steps=1, figures=""):
            self.bars.append(figures)

    told = Told()
    found = job(progress=told)
    number = r"[\d.]+"
    assert len(told.lines) == found.epochs
    assert told.lines[0].startswith("tuning, epoch 1 of at most 8: loss 0.")
    bytes_ = f"{found.model.file_bytes:,} bytes"

    for line in told.lines[:-1]:
        assert re.search(
            rf"validation AUC {number} ± {number}, LogLoss {number}( \*)?, {bytes_}, at most 1 min left$", line
        )
    assert told.lines[-1].endswith(bytes_)
    best = f"best AUC {number} ± {number}, LogLoss {number}"
    assert re.fullmatch(rf"loss {number}, {best}, {bytes_}, at most 1 min left", told.bars[-1])
