"""From a checkpoint to a compressed model: steps in order, each once; what has been made already is taken as it is."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import fmcompress as fc
from fmcompress import pipeline
from fmcompress.artifact import Frame
from fmcompress.artifact.header import artifact_bytes
from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData, open_tuning_data
from fmcompress.errors import BudgetError, OutputError, UsageError
from fmcompress.evaluation.predictors import predictor
from fmcompress.evaluation.scores import score_rows
from fmcompress.fm.quantizer import parse_quantizer
from fmcompress.fm.rescaling import rescaled
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.base import Job, QuantizationMethod
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.training.loop import Fit
from fmcompress.training.run_state import RunFiles, open_run_state
from tests.data.rows import RowsInMemory
from tests.models import random_checkpoint, random_ids

CHECKPOINT = random_checkpoint((40, 7), dim=4)
QUANTIZERS = tuple(parse_quantizer(*spec) for spec in (("2x8", "4"), ("raw", "raw")))


@dataclass(frozen=True)
class OwnMethod(QuantizationMethod[Measurements]):
    """A method that remembers what it was asked for.

    Attributes:
        steps: their names, in order.
        searches: whether the sizes are only found by a search.
    """

    name: ClassVar[str] = "own"
    steps: list[str] = field(default_factory=list, compare=False)
    searches: bool = False

    def default_tuning(self):
        return fc.TuneOptions(lr=0.125)

    def measure(self, job):
        self.steps.append("measure")
        return Measurements(job.checkpoint)

    def plan(self, job, measured):
        self.steps.append("plan")
        file_bytes = artifact_bytes(Frame.of(job.checkpoint), job.origin, QUANTIZERS)
        quantizers = None if self.searches else QUANTIZERS
        return Plan(Tiers.none(job.checkpoint.schema), quantizers, file_bytes, file_bytes)

    def search_sizes(self, job, measured, plan):
        self.steps.append("search")
        return replace(plan, quantizers=QUANTIZERS) if job.data else plan

    def finetune(self, job, measured, model, start, codes):
        self.steps.append("finetune")
        job.run_state.write("epoch", {"auc": start.auc})
        return Fit(replace(model, bias=model.bias + 0.5), start, 3, 2)


class KnownRows(RowsInMemory):
    """Rows in memory whose labels the checkpoint's own probabilities draw."""

    schema, out_of_range, files, rows = CHECKPOINT.schema, 0, (), 4000

    def __init__(self, seed):
        ids = random_ids(self.schema, self.rows, seed=seed)
        labels = np.random.default_rng(seed).random(self.rows) < predictor(CHECKPOINT).predict(ids)
        self._batch = Batch(ids, labels.astype(np.float32))

    def batches(self, *, order=None):
        yield self._batch


@pytest.mark.parametrize("calibrate", [True, False])
def test_checkpoints_and_artifacts_are_calibrated(calibrate):
    given = rescaled(CHECKPOINT, 0.4, 0.8)
    data = TuningData(KnownRows(0), KnownRows(1), DataOptions())
    method = fc.LightFM(subspaces=2, codewords=8)
    job = Job(given, method, None, data, tuning=fc.TuneOptions(epochs=0, calibrate=calibrate))
    measured = pipeline.measure(job)
    again = score_rows(measured.checkpoint, data.valid)
    assert (measured.checkpoint is given) is not calibrate
    assert again.calibration_gained.identity is calibrate
    quality = pipeline.quantize(job).header.origin.quality
    before = score_rows(given, data.valid)
    assert quality["source"].logloss == pytest.approx(before.logloss, abs=1e-5)  # as it was given
    assert (quality["artifact"].logloss < before.logloss - 0.01) is calibrate
    assert job.checkpoint is given


class MemoryRows(RowsInMemory):
    """Rows of the checkpoint's fields, in memory."""

    schema, out_of_range, files = CHECKPOINT.schema, 0, ()

    def __init__(self, rows, seed):
        self.rows = rows
        ids = random_ids(self.schema, rows, seed=seed)
        self._batch = Batch(ids, np.arange(rows, dtype=np.float32) % 2)

    def batches(self, *, order=None):
        yield self._batch


DATA = TuningData(MemoryRows(1000, 0), MemoryRows(60, 1), DataOptions())


def test_steps_follow_each_other():
    method = OwnMethod()
    model = pipeline.quantize(Job(CHECKPOINT, method, 10_000))
    assert method.steps == ["measure", "plan", "search"]
    assert model.header.quantizers == QUANTIZERS
    assert model.file_bytes == pipeline.make_plan(Job(CHECKPOINT, method, 10_000)).file_bytes


def test_with_data_the_model_is_tuned_and_says_how_good_it_is(tmp_path):
    method = OwnMethod()
    run_state = open_run_state(RunFiles(history=tmp_path / "history.jsonl"), {})
    model = pipeline.quantize(Job(CHECKPOINT, method, 10_000, DATA, run_state=run_state))
    assert method.steps == ["measure", "plan", "search", "finetune"]
    assert model.bias == pytest.approx(CHECKPOINT.bias + 0.5)
    quality = model.header.origin.quality
    assert list(quality) == ["source", "untuned", "artifact"]
    assert quality["source"].auc == score_rows(CHECKPOINT, DATA.valid).auc
    assert quality["untuned"] == quality["artifact"]  # our own tuning says that nothing changed
    start, epoch, end = map(json.loads, (tmp_path / "history.jsonl").read_text().splitlines())
    assert (start["event"], epoch["event"], end["event"]) == ("start", "epoch", "end")
    expected = {"bytes": model.file_bytes, "auc": epoch["auc"], "best_epoch": 2, "epochs": 3}
    assert {name: end[name] for name in expected} == expected


def test_what_has_been_measured_and_planned_is_not_done_again():
    method = OwnMethod()
    job = Job(CHECKPOINT, method, 10_000)
    measured = pipeline.measure(job)
    plan = pipeline.make_plan(job, measured)
    assert method.steps == ["measure", "plan"]
    once = pipeline.quantize(job, plan, measured)
    assert method.steps == ["measure", "plan", "search"]
    np.testing.assert_array_equal(once.values, pipeline.quantize(job).values)


def test_a_search_needs_data():
    with pytest.raises(UsageError, match="own cannot do without data"):
        pipeline.quantize(Job(CHECKPOINT, OwnMethod(searches=True), 10_000))
    model = pipeline.quantize(Job(CHECKPOINT, OwnMethod(searches=True), 10_000, DATA))
    assert model.header.quantizers == QUANTIZERS


def test_without_a_budget_the_artifact_names_its_own_size():
    model = pipeline.quantize(Job(CHECKPOINT, OwnMethod(), None))
    assert model.header.origin.budget_bytes == model.file_bytes
    assert pipeline.quantize(Job(CHECKPOINT, OwnMethod(), 12_345)).header.origin.budget_bytes == 12_345


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Return data to tune on, in files."""
    folder = tmp_path_factory.mktemp("rows")
    for name, rows in {"train": DATA.rows, "valid": DATA.valid}.items():
        write_rows(next(rows.batches()), CHECKPOINT.schema, folder / f"{name}.parquet")
    return open_tuning_data(CHECKPOINT, folder / "train.parquet", folder / "valid.parquet", DataOptions())


def test_a_job_says_how_it_is_tuned(opened):
    job = pipeline.open_job(CHECKPOINT, "12KB", OwnMethod(), opened, seed=3, device="cpu")
    assert (job.budget_bytes, job.seed) == (12_000, 3)
    assert job.tuning == fc.TuneOptions(lr=0.125, seed=3, device="cpu")
    given = fc.TuneOptions(epochs=1, seed=9, device="elsewhere")
    tuning = pipeline.open_job(CHECKPOINT, 12_000, OwnMethod(), opened, 3, "cpu", given).tuning
    assert tuning == replace(given, seed=3, device="cpu")
    assert pipeline.open_job(CHECKPOINT, 12_000, "lightfm").method == fc.LightFM()


def test_a_job_opens_its_files_and_a_resumed_one_is_the_same_run(opened, tmp_path):
    files = RunFiles(tmp_path / "state", tmp_path / "history.jsonl")

    def job_of(method, **changes):
        return pipeline.open_job(CHECKPOINT, 12_000, method, opened, device="cpu", files=replace(files, **changes))

    first = job_of(OwnMethod())
    assert not any(path.exists() for path in (files.state, files.history))
    first.run_state.save("tuning", {}, "epoch 2")
    assert job_of(OwnMethod(), resume=True).run_state.position == "epoch 2"
    with pytest.raises(fc.StateError, match="searches was False, and now it is True"):
        job_of(OwnMethod(searches=True), resume=True)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"method": "nothing"}, UsageError, "method is 'nothing', expected auto, lightfm, xlightfm"),
        ({"budget": None}, UsageError, "own needs a budget"),
        ({"budget": "much"}, UsageError, "not a size"),
        ({"device": "tpu"}, UsageError, "device is 'tpu'"),
        ({"seed": -1}, UsageError, "seed is -1"),
        ({"carries_vocabulary": True}, UsageError, "no vocabulary"),
        ({"method": "lightfm", "budget": 10}, BudgetError, "too small"),
        ({"files": RunFiles(resume=True)}, UsageError, "no state"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_computed(opened, changes, error, says):
    settings = {"budget": 12_000, "method": OwnMethod(), "data": opened, "device": "cpu", **changes}
    with pytest.raises(error, match=says):
        pipeline.open_job(CHECKPOINT, **settings)


def test_files_of_a_run_are_not_those_that_it_reads(opened, tmp_path):
    for files in (RunFiles(Path(opened.files[0])), RunFiles(history=Path(opened.files[1]))):
        with pytest.raises(OutputError, match="is an input of this job"):
            pipeline.open_job(CHECKPOINT, 12_000, OwnMethod(), opened, device="cpu", files=files)
    for files, name in ((RunFiles(resume=True), "resume"), (RunFiles(history=tmp_path / "h"), "history")):
        with pytest.raises(UsageError, match=f"{name} without training data"):
            pipeline.open_job(CHECKPOINT, 12_000, OwnMethod(), files=files)


def test_without_data_neither_torch_nor_pyarrow_is_imported(tmp_path):
    fc.save_checkpoint(CHECKPOINT, tmp_path / "fm.safetensors")
    code = (
        "import sys, fmcompress as fc; fc.quantize(fc.load_checkpoint(sys.argv[1]), '4KB').save(sys.argv[2]);"
        "print([m for m in ('torch', 'pyarrow') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, tmp_path / "fm.safetensors", tmp_path / "artifact"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
