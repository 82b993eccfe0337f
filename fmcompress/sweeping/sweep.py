"""The size-quality curve: a checkpoint quantized to several budgets, and measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from fmcompress import pipeline
from fmcompress.artifact import Quality
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_tuning_data
from fmcompress.errors import BudgetError, UsageError
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.base import Job, Method
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.reporting.curve import Curve, CurvePoint, CurveSource, scores_of
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import format_size, parse_size
from fmcompress.sweeping.files import CurveFiles
from fmcompress.sweeping.rows import CurveData, open_rows_of
from fmcompress.training.device import Device

if TYPE_CHECKING:
    from fmcompress.baselines import BaselinePoint
    from fmcompress.data.options import Match, Oov
    from fmcompress.evaluation.predictors import Model

_RATIO = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*x", re.IGNORECASE | re.ASCII)


def sweep(
    checkpoint: FMCheckpoint,
    budgets: Sequence[str | int] | str,
    *,
    method: Method | str = "auto",
    train: str | Path | None = None,
    valid: str | Path | None = None,
    data: str | Path | None = None,
    baselines: Sequence[str] = (),
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
    first_index: int = 0,
    seed: int = 0,
    device: Device = "auto",
    tuning: TuneOptions | None = None,
    output_dir: str | Path | None = None,
    plot: str | Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Curve:
    """Compress a factorization machine to several sizes, and tell how well each predicts.

    What does not depend on the budget is done once. A budget that cannot be met is told with the smallest size that
    can, and stops nothing. Files are written when all is done.

    Args:
        checkpoint: the factorization machine.
        budgets: sizes of artifacts at most: bytes, texts such as ``10MB``, or ratios such as ``20x``, by which the
            checkpoint's fp32 bytes are divided; or all of them in one text, with commas. Their order does not matter.
        method: how to quantize, as for ``quantize``.
        train: file, folder or glob of rows to tune on, Parquet or libsvm text; None tunes nothing.
        valid: validation rows; without them every 20th training row is held out.
        data: rows to measure on; without them the validation rows are, and without those only sizes are told.
        baselines: keys of ``fmcompress.baselines.BASELINES`` to compare with, which are trained and tuned on the
            same rows for as many epochs.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or an unknown token is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in data that are libsvm text: 0 as libFM counts, or 1.
        seed: of k-means, search, tuning and shuffling.
        device: where to tune.
        tuning: how to tune, as for ``quantize``.
        output_dir: folder for the artifacts, ``fm-20000.safetensors`` for a checkpoint ``fm.pt`` and 20,000 bytes.
        plot: picture of the curve to draw: .svg, .png or .pdf.
        force: replace files that exist.
        progress: told of each step, and of each point as it comes.

    Raises:
        UsageError: an option makes no sense.
        BudgetError: no artifact of this model fits any of the budgets.
        DataError: the rows cannot be used.
        DependencyError: there is nothing to draw the plot with.
        OutputError: a file cannot be written.
    """
    sizes = parse_budgets(budgets, checkpoint.fp32_bytes)
    options = DataOptions(label, match, oov, first_index)
    files = CurveFiles(None if output_dir is None else Path(output_dir), stem_of(checkpoint), _path(plot), force)
    tuning_data = open_tuning_data(checkpoint, train, valid, options)
    largest = pipeline.open_job(
        checkpoint, sizes[-1], method, tuning_data, seed=seed, device=device, tuning=tuning, progress=progress
    )
    rows = CurveData(largest.data, None if data is None else open_rows_of(checkpoint, data, options))
    files.check(sizes, rows.files)
    compared = open_baselines(baselines, largest, sizes)
    curve, models = run_sweep(largest, sizes, rows, compared)
    files.write(curve, models if output_dir is not None else {})
    return curve


def parse_budgets(budgets: Iterable[str | int] | str, fp32_bytes: int) -> tuple[int, ...]:
    """Return budgets in bytes, from small to large, each once.

    Args:
        budgets: sizes and ratios; or one text of them, with commas.
        fp32_bytes: what ratios are taken of.

    Raises:
        UsageError: there is none, or one is neither a size nor a ratio.
    """
    found = budgets.split(",") if isinstance(budgets, str) else list(budgets)
    if not found:
        raise UsageError("there are no budgets", hint="20KB,50KB or 10x,20x")
    return tuple(sorted({_budget_bytes(budget, fp32_bytes) for budget in found}))


def _budget_bytes(budget: str | int, fp32_bytes: int) -> int:
    ratio = _RATIO.fullmatch(str(budget).strip())
    if ratio is None:
        return parse_size(budget)
    divisor = Decimal(ratio[1])
    if not 0 < divisor <= fp32_bytes:
        raise UsageError(f"ratio {budget!r} is not between 0 and the checkpoint's {fp32_bytes:,} bytes in fp32")
    return parse_size(int(fp32_bytes // divisor))


def stem_of(checkpoint: FMCheckpoint) -> str:
    """Return what the names of a checkpoint's artifacts begin with."""
    return "fm" if checkpoint.source is None else Path(checkpoint.source.name).stem


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


@dataclass(frozen=True)
class _Planned:
    """A budget, and the plan that meets it or why there is none."""

    job: Job
    budget_bytes: int
    plan: Plan | BudgetError
    seconds: float


def run_sweep(
    largest: Job, budgets: Sequence[int], rows: CurveData, compared: Iterator[BaselinePoint]
) -> tuple[Curve, dict[int, CompressedFM]]:
    """Quantize to several budgets, and measure.

    Args:
        largest: the job of the largest budget; what it measures serves all.
        budgets: sizes in bytes, from small to large.
        rows: rows to measure on.
        compared: points of baselines, each made when it is asked for.

    Returns:
        The curve, our own points from small to large budgets, then those of baselines; the artifacts by their budgets.

    Raises:
        BudgetError: no artifact fits any of the budgets.
        DataError: the rows cannot be used.
    """
    measured = pipeline.measure(largest)
    plans = [_planned(replace(largest, budget_bytes=budget_bytes), measured) for budget_bytes in budgets]
    _check_some_met(plans)
    source = _source(largest.checkpoint, rows)
    _tell(largest.progress, "FM", source.quality, rows)
    points, models = [], {}
    for planned in plans:
        if isinstance(planned.plan, BudgetError):
            points.append(_unmet(planned, planned.plan))
            continue
        start = perf_counter()
        model = pipeline.quantize(planned.job, planned.plan, measured)
        point = _point(planned, model, planned.seconds + perf_counter() - start, rows)
        _tell(largest.progress, f"{point.name}, {format_size(model.file_bytes)}", point.quality, rows)
        points.append(point)
        models[planned.budget_bytes] = model
    points.extend(_baseline_points(compared, rows, largest.progress))
    return Curve(source, tuple(points), rows.measured_on), models


def open_baselines(names: Sequence[str], job: Job, budgets: Sequence[int]) -> Iterator[BaselinePoint]:
    """Return the points of baselines, each made when it is asked for; the job says on which data and how long.

    Raises:
        UsageError: a baseline is unknown, or there is no data to train on.
    """
    if not names:
        return iter(())
    if job.data is None:
        raise UsageError("baselines without training data", hint="give the training data with --train")
    from fmcompress.baselines import BaselineOptions, run_baselines

    tuning = job.tuning
    options = BaselineOptions(seed=job.seed, device=tuning.device, epochs=tuning.epochs, batch_size=tuning.batch_size)
    return run_baselines(tuple(dict.fromkeys(names)), job.checkpoint, job.data, tuple(budgets), options, job.progress)


def _planned(job: Job, measured: Measurements) -> _Planned:
    start = perf_counter()
    budget_bytes = job.budget_bytes or 0
    try:
        plan: Plan | BudgetError = pipeline.make_plan(job, measured)
    except BudgetError as error:
        job.progress.note(str(error))
        plan = error
    return _Planned(job, budget_bytes, plan, perf_counter() - start)


def _check_some_met(plans: Sequence[_Planned]) -> None:
    errors = [planned.plan for planned in plans if isinstance(planned.plan, BudgetError)]
    if len(errors) == len(plans):
        least = min(error.smallest_bytes for error in errors)
        raise BudgetError(
            f"no budget is large enough: the smallest artifact of this model has {least:,} bytes",
            smallest_bytes=least,
            hint="ask for larger ones",
        )


def _source(checkpoint: FMCheckpoint, rows: CurveData) -> CurveSource:
    """Return the factorization machine, measured."""
    name = "FM" if checkpoint.source is None else checkpoint.source.name
    return CurveSource(name, checkpoint.fp32_bytes, _quality(checkpoint, rows))


def _unmet(planned: _Planned, error: BudgetError) -> CurvePoint:
    least = error.smallest_bytes
    name, budget_bytes = planned.job.method.name, planned.budget_bytes
    return CurvePoint(name, None, budget_bytes, None, None, None, planned.seconds, smallest_bytes=least)


def _point(planned: _Planned, model: CompressedFM, seconds: float, rows: CurveData) -> CurvePoint:
    """Return the point of an artifact; on validation data its tuning has found its quality already."""
    on_validation = rows.measured_on == "validation"
    return CurvePoint(
        name=planned.job.method.name,
        baseline=None,
        budget_bytes=planned.budget_bytes,
        file_bytes=model.file_bytes,
        quality=model.header.origin.quality["artifact"] if on_validation else _quality(model, rows),
        predicted_rise=sum(model.header.errors),
        seconds=seconds,
    )


def _baseline_points(compared: Iterator[BaselinePoint], rows: CurveData, progress: Progress) -> Iterator[CurvePoint]:
    start = perf_counter()
    for found in compared:
        seconds = perf_counter() - start
        quality = _quality(found.model, rows)
        _tell(progress, found.name, quality, rows)
        yield CurvePoint(found.name, found.baseline, None, found.file_bytes, quality, None, seconds)
        start = perf_counter()


def _quality(model: Model, rows: CurveData) -> Quality | None:
    if rows.measured is None:
        return None
    from fmcompress.evaluation.scores import score_rows

    scores = score_rows(model, rows.measured)
    return Quality(scores.rows, scores.auc, scores.logloss, scores.rmse)


def _tell(progress: Progress, name: str, quality: Quality | None, rows: CurveData) -> None:
    if quality is not None:
        figures = [f"{label} {getattr(quality, score):.5f}" for score, label in scores_of(quality).items()]
        name += f": {rows.measured_on} {', '.join(figures)}"
    progress.note(name)
