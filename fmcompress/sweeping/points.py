"""The points of a size-quality curve: a checkpoint quantized to several budgets and measured, beside baselines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from fmcompress import pipeline
from fmcompress.artifact import Quality
from fmcompress.data.rows import Rows, TuningData
from fmcompress.errors import BudgetError
from fmcompress.evaluation.predictors import Model
from fmcompress.evaluation.scores import quality_of, score_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.base import Job
from fmcompress.progress import Progress
from fmcompress.quantization.measurements import Measurements
from fmcompress.quantization.plan import Plan
from fmcompress.reporting.curve import Curve, CurvePoint, CurveSource, MeasuredOn, scores_of
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.sizes import format_size
from fmcompress.sweeping.quantizing import quantize_all
from fmcompress.text import with_error

if TYPE_CHECKING:
    from fmcompress.baselines import BaselinePoint


@dataclass(frozen=True)
class SweepRows:
    """Rows to tune on, and rows to measure on.

    Attributes:
        tuning: rows to tune on; None tunes nothing.
        test: rows to measure on; None measures on validation rows, where there are any.
    """

    tuning: TuningData | None = None
    test: Rows | None = None

    @property
    def measured(self) -> Rows | None:
        """The rows that models are measured on."""
        return self.tuning.valid if self.test is None and self.tuning is not None else self.test

    @property
    def measured_on(self) -> MeasuredOn | None:
        """What these rows are."""
        if self.test is not None:
            return "test"
        return None if self.tuning is None else "validation"

    @property
    def files(self) -> list[str]:
        """All files."""
        return [file for rows in (self.test, self.tuning) if rows is not None for file in rows.files]


def quantize_to_budgets(
    largest: Job, budgets: Sequence[int], rows: SweepRows, compared: Iterator[BaselinePoint]
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
    progress = largest.progress
    measured = pipeline.measure(largest)
    planned = [_planned(replace(largest, budget_bytes=budget_bytes), measured) for budget_bytes in budgets]
    _check_some_met([point for _, point in planned])
    source = _source(largest.checkpoint, rows)
    _tell(progress, "FM", source.quality, rows)
    points, models = [], {}
    met = [(budget_bytes, plan) for budget_bytes, (plan, _) in zip(budgets, planned, strict=True) if plan is not None]
    quantized = quantize_all(largest, met, measured)
    for budget_bytes, (plan, point) in zip(budgets, planned, strict=True):
        if plan is None:
            points.append(point)
            continue
        model, seconds = next(quantized)
        points.append(_reached(point, model, seconds, rows))
        models[budget_bytes] = model
        _tell(progress, f"{point.name}, {format_size(model.file_bytes)}", points[-1].quality, rows)
    points.extend(_baseline_points(compared, rows, progress))
    return Curve(source, tuple(points), rows.measured_on), models


def _planned(job: Job, measured: Measurements) -> tuple[Plan | None, CurvePoint]:
    """Return the plan that meets a budget, if there is one, and the point as far as it is known by then."""
    start = perf_counter()
    plan, smallest_bytes = None, None
    try:
        plan = pipeline.make_plan(job, measured)
    except BudgetError as error:
        job.progress.note(str(error))
        smallest_bytes = error.smallest_bytes
    seconds = perf_counter() - start
    return plan, CurvePoint(job.method.name, None, job.budget_bytes, None, None, None, seconds, smallest_bytes)


def _check_some_met(points: Sequence[CurvePoint]) -> None:
    smallest = [point.smallest_bytes for point in points if point.smallest_bytes is not None]
    if len(smallest) == len(points):
        raise BudgetError(
            f"no budget is large enough: the smallest artifact of this model has {min(smallest):,} bytes",
            smallest_bytes=min(smallest),
            hint="ask for larger ones",
        )


def _source(checkpoint: FMCheckpoint, rows: SweepRows) -> CurveSource:
    """Return the factorization machine, measured."""
    name = "FM" if checkpoint.source is None else checkpoint.source.name
    return CurveSource(name, checkpoint.fp32_bytes, _quality(checkpoint, rows))


def _reached(point: CurvePoint, model: CompressedFM, seconds: float, rows: SweepRows) -> CurvePoint:
    """Return the point with its artifact; on validation data the artifact's tuning has found its quality already."""
    on_validation = rows.measured_on == "validation"
    return replace(
        point,
        file_bytes=model.file_bytes,
        quality=model.header.origin.quality["artifact"] if on_validation else _quality(model, rows),
        predicted_rise=sum(model.header.errors),
        seconds=point.seconds + seconds,
    )


def _baseline_points(compared: Iterator[BaselinePoint], rows: SweepRows, progress: Progress) -> Iterator[CurvePoint]:
    start = perf_counter()
    for found in compared:
        seconds = perf_counter() - start
        quality = _quality(found.model, rows)
        _tell(progress, found.name, quality, rows)
        yield CurvePoint(found.name, found.baseline, None, found.file_bytes, quality, None, seconds)
        start = perf_counter()


def _quality(model: Model, rows: SweepRows) -> Quality | None:
    return None if rows.measured is None else quality_of(score_rows(model, rows.measured))


def _tell(progress: Progress, name: str, quality: Quality | None, rows: SweepRows) -> None:
    if quality is not None:
        figures = [f"{label} {getattr(quality, score):.5f}" for score, label in scores_of(quality).items()]
        if not quality.regression:
            figures[0] = with_error(figures[0], quality.auc_standard_error)
        name += f": {rows.measured_on} {', '.join(figures)}"
    progress.note(name)
