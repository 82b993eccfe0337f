"""From a checkpoint to a compressed model: open a job, measure, plan, fit codebooks, fine-tune, pack.

Without data neither torch nor pyarrow is needed, and they are not imported: that is half of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from fmcompress.artifact import Origin, PackedFM, pack_model, with_vocabulary
from fmcompress.artifact.origin import COMPACT, Layout
from fmcompress.data.rows import TuningData
from fmcompress.devices.working import working_on
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.evaluation.calibrating import calibration_by
from fmcompress.evaluation.sampled_rows import doubt_of, sampled_errors
from fmcompress.evaluation.scores import Scores, quality_of, score_rows
from fmcompress.files import check_apart
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.magnitudes import check_magnitudes
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.rescaling import rescaled
from fmcompress.methods.base import Job, Method
from fmcompress.methods.registry import method_of
from fmcompress.processes.world import this_process
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization import codebooks, kmeans
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import parse_size
from fmcompress.training.device import Device, resolve_device
from fmcompress.training.provenance import fingerprint_of
from fmcompress.training.run_state import RunFiles, open_run_state

if TYPE_CHECKING:
    from fmcompress.methods.auto.code_budget import Room
    from fmcompress.training.loop import Fit

Given = ParamSpec("Given")
Result = TypeVar("Result")


def _on_its_device(step: Callable[Concatenate[Job, Given], Result]) -> Callable[Concatenate[Job, Given], Result]:
    """Let the heavy work of a step be done on the device of its job."""

    @wraps(step)
    def on_device(job: Job, /, *args: Given.args, **settings: Given.kwargs) -> Result:
        with working_on(job.tuning.device):
            return step(job, *args, **settings)

    return on_device


def open_job(
    checkpoint: FMCheckpoint,
    budget: str | int | None = None,
    method: Method | str = "auto",
    data: TuningData | None = None,
    seed: int = 0,
    device: Device = "auto",
    tuning: TuneOptions | None = None,
    files: RunFiles | None = None,
    progress: Progress = SILENT,
    *,
    carries_vocabulary: bool = False,
    layout: Layout = COMPACT,
    provenance: bool = True,
) -> Job:
    """Check all that a quantization is asked for, and open the files of its run.

    Rows are counted; nothing else is computed yet.

    Args:
        checkpoint: the factorization machine.
        budget: size of the artifact at most: bytes, or a text such as ``10MB``; None where the method needs none.
        method: how to quantize, or the name of a method with its defaults.
        data: rows to search and tune on; None tunes nothing.
        seed: of k-means, search, tuning and shuffling.
        device: where the heavy work is done: tuning, k-means, what errors cost, scoring. Without data ``auto`` is the
            CPU.
        tuning: how to tune; its seed and device are overruled. None leaves it to the method.
        files: state and history that the run keeps.
        progress: told of each step.
        carries_vocabulary: whether the artifact carries the checkpoint's vocabulary.
        layout: of the artifact: ``compact``, or ``plain``, which older readers understand and which can be mapped.
        provenance: whether the artifact says where it comes from.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: counting bytes alone shows that no artifact fits the budget.
        OutputError: the state or the history cannot be written.
        StateError: the state is damaged, or of another run.
    """
    how = method_of(method)
    # Without data little is to be done, and asking torch for a device would take longer than all the rest.
    where = "cpu" if data is None and device == "auto" else resolve_device(device)
    how_to_tune = replace(tuning or how.default_tuning(), seed=seed, device=where)
    if data is not None and data.valid_is_seen and how_to_tune.calibrate:
        how_to_tune = replace(how_to_tune, calibrate=False)
    job = Job(
        checkpoint=checkpoint,
        method=how,
        budget_bytes=None if budget is None else parse_size(budget),
        data=data,
        tuning=how_to_tune,
        seed=seed,
        carries_vocabulary=carries_vocabulary,
        layout=layout,
        provenance=provenance,
        progress=progress,
    )
    return _with_run_state(job, files or RunFiles())


@_on_its_device
def _with_run_state(job: Job, files: RunFiles) -> Job:
    """Return the job, once it is checked, with its files open; without data a run keeps none."""
    if job.data is None:
        for name, wanted in (("resume", files.resume), ("history", files.history is not None)):
            if wanted:
                raise UsageError(f"{name} without training data: only tuning takes long", hint="--train gives them")
        job.check()
        return job
    for path in (files.state, files.history):
        if path is not None:
            check_apart(path, job.data.files)
    job.check()
    fingerprint = fingerprint_of(
        job.checkpoint,
        job.origin,
        job.data,
        method_settings=asdict(job.method),  # type: ignore[call-overload]
        tuning_settings=asdict(job.tuning),
        carries_vocabulary=job.carries_vocabulary,
    )
    return replace(job, run_state=open_run_state(files, fingerprint, progress=job.progress))


@_on_its_device
def quantize(job: Job, plan: Plan | None = None, measured: Measurements | None = None) -> CompressedFM:
    """Return the compressed model that a job asks for, tuned where there is data.

    Args:
        job: what is asked for.
        plan: of this job, where it has been made already.
        measured: of the job's checkpoint, data, method and seed, where it has been measured already.

    Raises:
        UsageError: a setting makes no sense.
        BudgetError: no artifact of this model fits the budget.
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state of the run cannot be gone on from.
    """
    measured = measured or measure(job)
    plan = plan or make_plan(job, measured)
    plan = job.method.search_sizes(job, measured, plan)
    quantized = fit_codebooks(job, measured, plan)
    model = pack(job, plan, quantized)
    if job.data is None:
        del quantized, measured  # of many categories they take as much as all that follows
        model = sample(job, model)
    else:
        model = finetune(job, measured, model)
    vocabulary = job.checkpoint.vocabulary if job.carries_vocabulary else None
    return CompressedFM.of(with_vocabulary(model, vocabulary))


@_on_its_device
def measure(job: Job) -> Measurements:
    """Return what is measured of a job's checkpoint: how often categories occur, and what errors cost.

    What is doubtful of the rows is told, once for all budgets.
    """
    lacking = kmeans.lacks_gpu()
    if lacking is not None:
        job.progress.note(lacking)
    if job.data is not None:
        for doubt in job.data.doubts(regression=job.checkpoint.link_function.regression):
            job.progress.warn(str(doubt))
        if job.data.valid_is_seen:
            job.progress.note("validation rows are training rows, which the FM may have learnt: they calibrate nothing")
    measured: Measurements = job.method.measure(replace(job, checkpoint=_calibrated(job)))
    return measured


def _calibrated(job: Job) -> FMCheckpoint:
    """Return the checkpoint as prices, targets and codes take it: calibrated on validation data, if that is asked for.

    Its own predictions are what the artifact is compared with.
    """
    checkpoint = job.checkpoint
    if job.data is None or not job.tuning.calibrate:
        return checkpoint
    by = calibration_by(checkpoint, job.source_scores)
    if by.identity:
        return checkpoint
    try:
        found = rescaled(checkpoint, by.scale, by.offset)
        check_magnitudes(found)
    except CheckpointError:  # it predicts as it is, but not with larger weights
        return checkpoint
    loss = job.source_scores.calibrated_logloss
    job.progress.note(f"FM: calibrated on validation data, {by}: LogLoss {loss:.5f}")
    return found


@_on_its_device
def make_plan(job: Job, measured: Measurements | None = None) -> Plan:
    """Return how each field is to be stored, known to the byte.

    Args:
        job: what is asked for.
        measured: of its checkpoint, where that has been measured already.

    Raises:
        BudgetError: no artifact of this model fits the budget.
    """
    return this_process().of_first(job.method.plan(job, measured or measure(job)))


@_on_its_device
def fit_codebooks(job: Job, measured: Measurements, plan: Plan) -> QuantizedFM:
    """Make codebooks and codes as planned, or as many more as the budget has room for once codes are coded."""
    if plan.quantizers is None:
        raise UsageError(f"method {job.method.name} cannot do without data")
    quantized = codebooks.fit_codebooks(
        measured.checkpoint,
        measured.sensitivity,
        plan.quantizers,
        seed=job.seed,
        tiers=plan.tiers,
        metric=plan.metrics or "euclidean",
        rises=plan.rises,
        progress=job.progress,
    )
    return job.method.fill(job, measured, plan, replace(quantized, network_bytes=plan.network_bytes))


def pack(job: Job, plan: Plan, quantized: QuantizedFM) -> PackedFM:
    """Return the packed model; where no budget is asked for, it says its own size."""
    return pack_model(quantized, replace(job.origin, budget_bytes=job.budget_bytes or plan.file_bytes))


def sample(job: Job, model: PackedFM) -> PackedFM:
    """Return the model with the errors of its logits on drawn rows in its header; large ones are told."""
    sampled = sampled_errors(job.checkpoint, model, seed=job.seed)
    job.progress.note(
        f"sampled rows: logits are off by {sampled.mean:.2g} on average, {sampled.largest:.2g} at most; "
        f"the checkpoint's spread by {sampled.spread:.2g}"
    )
    doubt = doubt_of(sampled)
    if doubt is not None:
        job.progress.warn(doubt)
    return replace(model, header=replace(model.header, origin=replace(model.header.origin, sampled=sampled)))


@_on_its_device
def finetune(job: Job, measured: Measurements, model: PackedFM) -> PackedFM:
    """Return the model tuned end to end, with its quality on validation data in its header."""
    from fmcompress.finetune.calibrating import calibrated_model
    from fmcompress.finetune.module_scorer import predictor_at_work
    from fmcompress.methods.code_updates import code_update

    if job.data is None:
        return model
    valid = job.data.valid
    source = job.source_scores
    data, learned = job.data, job.data.learned(job.tuning.distillation)
    if learned is not None:
        data = replace(job.data, rows=learned)
        job = replace(job, data=data, tuning=replace(job.tuning, distillation=0.0))

    def score(packed: PackedFM) -> Scores:
        return score_rows(packed, valid, predictor_at_work(packed))

    untuned = score(model)
    if job.tuning.calibrate:
        model, untuned = calibrated_model(model, untuned, score)
    job.progress.note(f"FM: validation {source}")
    job.progress.note(f"quantized: validation {untuned}")
    codes = code_update(
        job.tuning,
        measured.checkpoint,
        model.tiers,
        rows=data.rows,
        counts=measured.counts,
        sensitivity=measured.sensitivity,
        room=_room(job, model),
    )
    found = job.method.finetune(job, measured, model, untuned, codes)
    _write_end(job, found)
    quality = {"source": source, "untuned": untuned, "artifact": found.scores}
    return _with_quality(found.model, model.header.origin, quality)


def _room(job: Job, model: PackedFM) -> Room | None:
    """Return what a model in tuning may take where its codes are entropy coded; None where its size is fixed."""
    from fmcompress.methods.auto.code_budget import Room

    if job.budget_bytes is None or not job.origin.compact:
        return None
    carried = 0
    if job.carries_vocabulary:
        carried = with_vocabulary(model, job.checkpoint.vocabulary).file_bytes - model.file_bytes
    return Room(model.header.origin, job.budget_bytes - carried)


def _write_end(job: Job, found: Fit[PackedFM]) -> None:
    """Write the last line of the history."""
    figures = {
        "bytes": found.model.file_bytes,
        "auc": found.scores.auc,
        "logloss": found.scores.logloss,
        "rmse": found.scores.rmse,
        "best_epoch": found.best_epoch,
        "epochs": found.epochs,
        "seconds": round(job.run_state.seconds, 3),
    }
    job.run_state.write("end", figures)


def _with_quality(model: PackedFM, origin: Origin, scores: dict[str, Scores]) -> PackedFM:
    # As a file has it, so that the model in memory says the same as its file.
    quality = {name: replace(quality_of(found), calibrated_logloss=math.nan) for name, found in scores.items()}
    return replace(model, header=replace(model.header, origin=replace(origin, quality=quality)))
