"""The size-quality curve: a checkpoint quantized to several budgets, and measured."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from fmcompress.artifact import CompressedFM, Quality
from fmcompress.data.train_valid import DataOptions
from fmcompress.errors import BudgetError, UsageError
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.methods.registry import Auto, Method, default_tuning, method_of
from fmcompress.pipeline import Groundwork, Quantization
from fmcompress.progress import SILENT, Progress
from fmcompress.reporting.curve import Curve, CurvePoint, CurveSource, scores_of
from fmcompress.sizes import format_size, parse_size
from fmcompress.sweeping.files import CurveFiles
from fmcompress.sweeping.rows import CurveData, open_curve_data
from fmcompress.training.device import Device, resolve_device

if TYPE_CHECKING:
    from fmcompress.baselines import BaselinePoint
    from fmcompress.data.options import Match, Oov
    from fmcompress.evaluation.scores import Model

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
    how = method_of(method)
    opened = open_curve_data(checkpoint, train, valid, data, DataOptions(label, match, oov, first_index))
    files = CurveFiles(_path(output_dir), stem_of(checkpoint), _path(plot), force)
    files.check(sizes, opened.files)
    options = tuning or default_tuning(how)
    if opened.tuning is not None:
        options = replace(options, device=resolve_device(device))
    job = Sweep(
        checkpoint, sizes, opened, method=how, tuning=options, baselines=baselines, seed=seed, progress=progress
    )
    points, models = [], {}
    for swept in job.run():
        points.append(swept.point)
        if output_dir is not None and swept.model is not None and swept.point.budget_bytes is not None:
            models[swept.point.budget_bytes] = swept.model
    curve = Curve(job.source, tuple(points), opened.measured_on)
    files.write(curve, models)
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
class Swept:
    """A point of the curve, and the artifact that it is of; None for baselines, and where there is none."""

    point: CurvePoint
    model: CompressedFM | None = None


@dataclass(frozen=True)
class _Planned:
    """A budget, and the quantization that meets it or why there is none."""

    budget_bytes: int
    found: Quantization | BudgetError
    seconds: float


class Sweep:
    """The quantizations of a checkpoint to several budgets, on one groundwork."""

    def __init__(
        self,
        checkpoint: FMCheckpoint,
        budgets: Sequence[int],
        data: CurveData | None = None,
        *,
        method: Method | None = None,
        tuning: TuneOptions | None = None,
        baselines: Sequence[str] = (),
        seed: int = 0,
        progress: Progress = SILENT,
    ) -> None:
        """Check what is asked for; nothing is computed yet.

        Args:
            checkpoint: the factorization machine.
            budgets: sizes in bytes.
            data: rows to tune and to measure on.
            method: how to quantize.
            tuning: how to tune.
            baselines: keys of baselines to compare with.
            seed: of k-means, search, tuning and shuffling.
            progress: told of each step, and of each point.

        Raises:
            UsageError: the seed is negative; a baseline is unknown; there is no data to train or search on.
            BudgetError: a method of the paper meets none of the budgets.
        """
        if not 0 <= seed < 2**31:
            raise UsageError(f"seed is {seed}, expected 0 to {2**31 - 1}")
        self._checkpoint = checkpoint
        self._budgets = tuple(budgets)
        self._data = data or CurveData()
        self._method: Method = method or Auto()
        self._tuning = tuning or default_tuning(self._method)
        self._seed = seed
        self._progress = progress
        self._baselines = self._opened(tuple(dict.fromkeys(baselines)))
        if not isinstance(self._method, Auto):
            # These count bytes before anything else is done, and if the largest budget is too small, all are.
            Quantization(checkpoint, max(self._budgets), self._data.tuning, method=self._method, seed=seed)

    @cached_property
    def source(self) -> CurveSource:
        """The factorization machine, measured."""
        source = self._checkpoint.source
        quality = self._measured(self._checkpoint)
        return CurveSource("FM" if source is None else source.name, self._checkpoint.fp32_bytes, quality)

    def run(self) -> Iterator[Swept]:
        """Yield the points as they come: our own from small to large budgets, then those of baselines.

        Raises:
            BudgetError: no artifact fits any of the budgets.
            DataError: the rows cannot be used.
        """
        plans = [self._planned(budget_bytes) for budget_bytes in self._budgets]
        _check_some_met(plans)
        self._tell("FM", self.source.quality)
        for plan in plans:
            swept = self._carried_out(plan)
            if swept.point.file_bytes is not None:
                self._tell(f"{swept.point.name}, {format_size(swept.point.file_bytes)}", swept.point.quality)
            yield swept
        start = perf_counter()
        for found in self._baselines:
            yield Swept(self._compared(found, perf_counter() - start))
            start = perf_counter()

    def _opened(self, names: tuple[str, ...]) -> Iterator[BaselinePoint]:
        """Return the points of baselines, each made when it is asked for."""
        if not names:
            return iter(())
        if self._data.tuning is None:
            raise UsageError("baselines without training data", hint="give the training data with --train")
        from fmcompress.baselines import BaselineOptions, run_baselines

        tuning = self._tuning
        options = BaselineOptions(
            seed=self._seed, device=tuning.device, epochs=tuning.epochs, batch_size=tuning.batch_size
        )
        return run_baselines(names, self._checkpoint, self._data.tuning, self._budgets, options, self._progress)

    @cached_property
    def _groundwork(self) -> Groundwork:
        return Groundwork(
            self._checkpoint, self._data.tuning, method=self._method, seed=self._seed, progress=self._progress
        )

    def _planned(self, budget_bytes: int) -> _Planned:
        groundwork, start = self._groundwork, perf_counter()
        found: Quantization | BudgetError
        try:
            found = Quantization(
                self._checkpoint,
                budget_bytes,
                self._data.tuning,
                method=self._method,
                seed=self._seed,
                progress=self._progress,
                groundwork=groundwork,
            )
        except BudgetError as error:
            self._progress.note(str(error))
            found = error
        return _Planned(budget_bytes, found, perf_counter() - start)

    def _carried_out(self, plan: _Planned) -> Swept:
        name, budget_bytes = self._method.name, plan.budget_bytes
        if isinstance(plan.found, BudgetError):
            least = plan.found.smallest_bytes
            return Swept(CurvePoint(name, None, budget_bytes, None, None, None, plan.seconds, smallest_bytes=least))
        start = perf_counter()
        model = plan.found.run(self._tuning)
        seconds = plan.seconds + perf_counter() - start
        point = CurvePoint(
            name=name,
            baseline=None,
            budget_bytes=budget_bytes,
            file_bytes=model.file_bytes,
            quality=self._quality(model),
            predicted_rise=sum(model.header.errors),
            seconds=seconds,
        )
        return Swept(point, model)

    def _compared(self, found: BaselinePoint, seconds: float) -> CurvePoint:
        quality = self._measured(found.model)
        self._tell(found.name, quality)
        return CurvePoint(found.name, found.baseline, None, found.file_bytes, quality, None, seconds)

    def _quality(self, model: CompressedFM) -> Quality | None:
        """Return how well an artifact predicts; on validation data its tuning has found that already."""
        if self._data.measured_on == "validation":
            return model.header.origin.quality["artifact"]
        return self._measured(model)

    def _measured(self, model: Model) -> Quality | None:
        rows = self._data.measured
        if rows is None:
            return None
        from fmcompress.evaluation.scores import score_rows

        scores = score_rows(model, rows)
        return Quality(scores.rows, scores.auc, scores.logloss, scores.rmse)

    def _tell(self, name: str, quality: Quality | None) -> None:
        if quality is not None:
            figures = [f"{label} {getattr(quality, score):.5f}" for score, label in scores_of(quality).items()]
            name += f": {self._data.measured_on} {', '.join(figures)}"
        self._progress.note(name)


def _check_some_met(plans: Sequence[_Planned]) -> None:
    errors = [plan.found for plan in plans if isinstance(plan.found, BudgetError)]
    if len(errors) == len(plans):
        least = min(error.smallest_bytes for error in errors)
        raise BudgetError(
            f"no budget is large enough: the smallest artifact of this model has {least:,} bytes",
            smallest_bytes=least,
            hint="ask for larger ones",
        )
