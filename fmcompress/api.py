"""The public functions that take paths and settings and do a whole job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress import pipeline
from fmcompress.arguments import checked_arguments
from fmcompress.artifact.origin import COMPACT, Layout
from fmcompress.artifact.packed import PackedFM
from fmcompress.data.options import DataOptions, Match, Oov
from fmcompress.data.rows import open_tuning_data
from fmcompress.errors import missing_packages_named
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.scoring_device import scorer_on
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.base import Job, Method
from fmcompress.progress import SILENT, Progress
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.training.device import Device
from fmcompress.training.run_state import RunFiles

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores
    from fmcompress.fm.vocabulary import Vocabulary


@missing_packages_named()
@checked_arguments
def quantize(
    checkpoint: FMCheckpoint,
    budget: str | int | None = None,
    *,
    method: Method | str = "auto",
    train: str | Path | None = None,
    valid: str | Path | None = None,
    targets: str | None = None,
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
    layout: Layout = COMPACT,
    provenance: bool = True,
    progress: Progress = SILENT,
) -> CompressedFM:
    """Compress a factorization machine into at most ``budget`` bytes, header and all; with data it is tuned, too.

    Args:
        checkpoint: the factorization machine.
        budget: bytes of the artifact at most, or a text such as ``10MB``; None, for LightFM alone, takes what it needs.
        method: ``auto``, ``lightfm``, ``xlightfm``, or one of them with its settings: ``LightFM(codewords=256)``.
        train: file, folder, glob or URI of training rows, Parquet, CSV, libsvm text; else counts are the checkpoint's.
        valid: validation rows; without them every 20th training row is held out.
        targets: column of the training rows with a stronger model's predictions, to learn in place of the checkpoint's.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        seed: of k-means, search, tuning and shuffling; it gives the same bytes again on the same machine and device.
        device: where the heavy work is done, with ``cuda`` without data too; ``auto`` is a GPU where both are there.
        tuning: how to tune, seed and device apart; by default codes move (LightFM, xLightFM) or are reassigned (auto).
        state: file that keeps the state of tuning, after each epoch and every few minutes, until the model is returned.
        resume: go on from ``state``, if the file is there, and end in the same model as an unbroken run.
        history: file for JSON lines that tell how the tuning goes.
        force: replace a history that exists.
        with_vocabulary: let the model carry the checkpoint's vocabulary; its bytes count in the budget.
        layout: ``compact``, or ``plain``: larger, for older readers, and mapped where the file lies.
        provenance: whether the file says where it comes from: checkpoint, versions, quality, errors of fields.
        progress: told of each step.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: no artifact of this model fits the budget.
        DataError: the rows cannot be used.
        OutputError: the state or the history cannot be written.
        StateError: the state is damaged, or of another run.
    """
    data = open_tuning_data(checkpoint, train, valid, DataOptions(label, match, oov, first_index), targets)
    return _carried_out(pipeline.open_job(
        checkpoint, budget, method, data, seed, device, tuning, _run_files(state, history, resume, force), progress,
        carries_vocabulary=with_vocabulary, layout=layout, provenance=provenance))  # fmt: skip


def _run_files(state: str | Path | None, history: str | Path | None, resume: bool, force: bool) -> RunFiles:
    return RunFiles(_path(state), _path(history), resume=resume, force=force)


def _carried_out(job: Job) -> CompressedFM:
    model = pipeline.quantize(job)
    job.run_state.clear()
    return model


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


@missing_packages_named()
@checked_arguments
def evaluate(
    model: FMCheckpoint | PackedFM,
    data: str | Path,
    *,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    vocabulary: Vocabulary | None = None,
    device: Device = "cpu",
) -> Scores:
    """Return AUC, LogLoss and calibration of a model on labelled rows, or the RMSE of a regression.

    Args:
        model: a checkpoint, or a compressed factorization machine.
        data: file, folder, glob or URI of rows, Parquet, CSV or libsvm text.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        vocabulary: tokens of the categories, in place of the model's.
        device: where rows are scored: by the native core on the ``cpu``, by torch on ``cuda``; ``auto`` is a GPU where
            there is one.

    Raises:
        UsageError: the vocabulary is not one of the model's fields, there is no such device, or its memory is full.
        DataError: the rows cannot be used.
    """
    from fmcompress.evaluation.scores import open_rows_for, score_rows

    options = DataOptions(label, match, oov, first_index)
    rows = open_rows_for(model, data, options, vocabulary=vocabulary)
    with scorer_on(device, model) as scorer:
        return score_rows(model, rows, scorer)
