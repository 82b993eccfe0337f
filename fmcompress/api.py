"""The public functions that take paths and settings and do a whole job."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress import pipeline
from fmcompress.data.options import DataOptions
from fmcompress.data.train_valid import open_tuning_data
from fmcompress.errors import UsageError
from fmcompress.files import check_apart
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.base import Job, Method
from fmcompress.methods.registry import method_of
from fmcompress.progress import SILENT, Progress
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import parse_size
from fmcompress.training.device import Device, resolve_device
from fmcompress.training.provenance import fingerprint_of
from fmcompress.training.run_state import RunFiles, RunState, open_run_state

if TYPE_CHECKING:
    from fmcompress.data.options import Match, Oov
    from fmcompress.evaluation.predictors import Model
    from fmcompress.evaluation.scores import Scores
    from fmcompress.fm.vocabulary import Vocabulary


def quantize(
    checkpoint: FMCheckpoint,
    budget: str | int | None = None,
    *,
    method: Method | str = "auto",
    train: str | Path | None = None,
    valid: str | Path | None = None,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    seed: int = 0,
    device: Device = "auto",
    tuning: TuneOptions | None = None,
    state: str | Path | None = None,
    resume: bool = False,
    history: str | Path | None = None,
    force: bool = False,
    with_vocabulary: bool = False,
    progress: Progress = SILENT,
) -> CompressedFM:
    """Compress a factorization machine into at most ``budget`` bytes, header and all.

    Without data this takes seconds, and category counts come from the checkpoint. With data the model is
    tuned, and validation data choose its best state.

    Args:
        checkpoint: the factorization machine.
        budget: size of the artifact at most: bytes, or a text such as ``10MB``; None, which only LightFM allows, takes
            what its sizes need.
        method: ``auto``, ``lightfm``, ``xlightfm``, or one of them with its settings: ``LightFM(codewords=256)``.
        train: file, folder or glob of training rows, Parquet or libsvm text.
        valid: validation rows; without them every 20th training row is held out.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        seed: of k-means, search, tuning and shuffling; it gives the same bytes again on the same machine and device.
        device: where to tune.
        tuning: how to tune; its seed and device are overruled by those given here. By default codes move with
            LightFM and xLightFM, and are chosen anew between epochs with auto.
        state: file that the tuning keeps its state in, after each epoch and every few minutes; it is removed
            when the model is returned. None keeps none.
        resume: go on from ``state``, if the file is there, and end in the same model as an unbroken run.
        history: file for JSON lines that tell how the tuning goes.
        force: replace a history that exists.
        with_vocabulary: let the model carry the checkpoint's vocabulary; its bytes count in the budget.
        progress: told of each step.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: no artifact of this model fits the budget.
        DataError: the rows cannot be used.
        OutputError: the state or the history cannot be written.
        StateError: the state is damaged, or of another run.
    """
    job = open_job(
        checkpoint,
        budget,
        method=method,
        train=train,
        valid=valid,
        options=DataOptions(label, match, oov, first_index),
        seed=seed,
        device=device,
        tuning=tuning,
        files=RunFiles(_path(state), _path(history), resume=resume, force=force),
        with_vocabulary=with_vocabulary,
        progress=progress,
    )
    model = pipeline.quantize(job)
    job.run_state.clear()
    return model


def open_job(
    checkpoint: FMCheckpoint,
    budget: str | int | None = None,
    *,
    method: Method | str = "auto",
    train: str | Path | None = None,
    valid: str | Path | None = None,
    options: DataOptions | None = None,
    seed: int = 0,
    device: Device = "auto",
    tuning: TuneOptions | None = None,
    files: RunFiles | None = None,
    with_vocabulary: bool = False,
    progress: Progress = SILENT,
) -> Job:
    """Check all that a quantization is asked for, and open its data and its files; nothing is computed yet.

    Args:
        checkpoint: the factorization machine.
        budget: size of the artifact at most, as for ``quantize``.
        method: how to quantize, as for ``quantize``.
        train: rows to tune on.
        valid: validation rows.
        options: how rows are read.
        seed: of k-means, search, tuning and shuffling.
        device: where to tune.
        tuning: how to tune; its seed and device are overruled.
        files: state and history that the run keeps.
        with_vocabulary: whether the artifact carries the checkpoint's vocabulary.
        progress: told of each step.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: counting bytes alone shows that no artifact fits the budget.
        DataError: the rows cannot be used.
        OutputError: the state or the history cannot be written.
        StateError: the state is damaged, or of another run.
    """
    how = method_of(method)
    data = open_tuning_data(checkpoint, train, valid, options)
    # Without data nothing runs on the device, and asking torch for it would take longer than all the rest.
    where = "cpu" if data is None and device == "auto" else resolve_device(device)
    job = Job(
        checkpoint=checkpoint,
        method=how,
        budget_bytes=None if budget is None else parse_size(budget),
        data=data,
        tuning=replace(tuning or how.default_tuning(), seed=seed, device=where),
        seed=seed,
        carries_vocabulary=with_vocabulary,
        progress=progress,
    )
    files = files or RunFiles()
    _check_files(job, files)
    job.check()
    return replace(job, run_state=_open_run_state(job, files))


def _check_files(job: Job, files: RunFiles) -> None:
    if job.data is None:
        for name, wanted in (("resume", files.resume), ("history", files.history is not None)):
            if wanted:
                raise UsageError(f"{name} without training data: only tuning takes long", hint="--train gives them")
        return
    for path in (files.state, files.history):
        if path is not None:
            check_apart(path, job.data.files)


def _open_run_state(job: Job, files: RunFiles) -> RunState:
    if job.data is None:
        return RunState()
    fingerprint = fingerprint_of(
        job.checkpoint,
        job.origin,
        job.data,
        method_settings=asdict(job.method),  # type: ignore[call-overload]
        tuning_settings=asdict(job.tuning),
        device=job.tuning.device,
        carries_vocabulary=job.carries_vocabulary,
    )
    return open_run_state(files, fingerprint, progress=job.progress)


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


def evaluate(
    model: Model,
    data: str | Path,
    *,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    vocabulary: Vocabulary | None = None,
) -> Scores:
    """Return AUC, LogLoss and calibration of a model on labelled rows, or the RMSE of a regression.

    Args:
        model: a checkpoint, or a compressed factorization machine.
        data: file, folder or glob of rows, Parquet or libsvm text.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        vocabulary: tokens of the categories, in place of the model's.

    Raises:
        UsageError: the vocabulary is not one of the model's fields.
        DataError: the rows cannot be used.
    """
    from fmcompress.evaluation.scores import open_rows_for, score_rows

    options = DataOptions(label, match, oov, first_index)
    return score_rows(model, open_rows_for(model, data, options, vocabulary=vocabulary))
