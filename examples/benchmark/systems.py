"""The systems of the benchmark: how the points of each come about, at all ratios or at one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from time import process_time
from typing import Any

from cells import Cell
from recipes import chosen_of
from work import Made, Work

import fmcompress as fc
from fmcompress.baselines import BaselineOptions, BaselinePoint, Chosen, run_baselines
from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData, open_rows, open_tuning_data
from fmcompress.errors import BudgetError
from fmcompress.evaluation.predictors import Model
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.pipeline import make_plan, measure, open_job, quantize

Point = dict[str, Any]
"""A model: its bytes, what it was made for, and its scores on validation and test rows."""


@dataclass(frozen=True)
class Ours:
    """``auto`` at all ratios; what does not depend on them is computed once.

    Attributes:
        source: the cell that trained the factorization machine.
        ratios: the checkpoint's bytes over those of the file at most.
        with_data: whether it is priced and tuned on data.
        epochs: of tuning; None takes the method's own.
    """

    source: Cell
    ratios: tuple[float, ...]
    with_data: bool = True
    epochs: int | None = None

    def needs(self) -> tuple[Cell, ...]:
        """Return the factorization machine."""
        return (self.source,)

    def make(self, work: Work) -> Made:
        """Quantize it to all ratios."""
        checkpoint = work.checkpoint(self.source)
        return Made(None, {"points": list(self._points(work, checkpoint))})

    def _points(self, work: Work, checkpoint: fc.FMCheckpoint) -> Iterator[Point]:
        method = fc.Auto()
        tuning = method.default_tuning()
        if self.epochs is not None:
            tuning = replace(tuning, epochs=self.epochs)
        data = _data(work, checkpoint) if self.with_data else None
        first = _budget(checkpoint, self.ratios[0])
        job = open_job(checkpoint, first, method, data, work.cell.seed, "cpu", tuning, progress=work.watch)
        measured = measure(job)
        for ratio in self.ratios:
            own, start = replace(job, budget_bytes=_budget(checkpoint, ratio)), process_time()
            try:
                model = quantize(own, make_plan(own, measured), measured)
            except BudgetError as error:
                yield {"ratio": ratio, "missed": str(error)}
                continue
            seconds = process_time() - start
            model.save(work.file(f"-{ratio:g}x.safetensors"), force=True)
            yield _scored(work, model, ratio, "auto", model.file_bytes, seconds)


@dataclass(frozen=True)
class Baseline:
    """A baseline at some ratios; one whose sizes are its own gives all that it has.

    Attributes:
        source: the cell that trained the factorization machine.
        key: of the baseline in ``fmcompress.baselines.BASELINES``.
        ratios: the checkpoint's bytes over those of the file at most.
        epochs: of tuning.
        like: the cell of the first seed, whose way to train is taken over; None goes through the grid.
    """

    source: Cell
    key: str
    ratios: tuple[float, ...]
    epochs: int
    like: Cell | None = None

    def needs(self) -> tuple[Cell, ...]:
        """Return the factorization machine, and the cell whose way is taken over."""
        return (self.source, *([] if self.like is None else [self.like]))

    def make(self, work: Work) -> Made:
        """Make its points."""
        checkpoint = work.checkpoint(self.source)
        budgets = {_budget(checkpoint, ratio): ratio for ratio in self.ratios}
        options = BaselineOptions(seed=work.cell.seed, epochs=self.epochs, chosen=self._chosen(work))
        points, start = [], process_time()
        for point in run_baselines(
            [self.key], checkpoint, _data(work, checkpoint), sorted(budgets), options, work.watch
        ):
            points.append(self._point(work, point, budgets, process_time() - start))
            start = process_time()
        return Made(None, {"points": points})

    def _chosen(self, work: Work) -> dict[str, Chosen]:
        """Return the way that the first seed's grid led to, of a baseline that has one."""
        found = [] if self.like is None else work.result(self.like)["points"]
        ways = [chosen_of(point["chosen"]) for point in found if point.get("chosen")]
        return {self.key: ways[0]} if ways else {}

    def _point(self, work: Work, point: BaselinePoint, budgets: dict[int, float], seconds: float) -> Point:
        """Return a point, at the largest of the ratios that its bytes meet; none where they meet no other."""
        met = [ratio for budget, ratio in budgets.items() if point.file_bytes <= budget]
        scored = _scored(work, point.model, max(met, default=None), point.name, point.file_bytes, seconds)
        return scored if point.chosen is None else {**scored, "chosen": asdict(point.chosen)}


def _data(work: Work, checkpoint: fc.FMCheckpoint) -> TuningData | None:
    return open_tuning_data(checkpoint, work.part("train"), work.part("valid"), DataOptions())


def _budget(checkpoint: fc.FMCheckpoint, ratio: float) -> int:
    return int(checkpoint.fp32_bytes // ratio)


def _scored(work: Work, model: Model, ratio: float | None, name: str, file_bytes: int, seconds: float) -> Point:
    point: Point = {"ratio": ratio, "name": name, "bytes": file_bytes, "seconds": seconds}
    for part in ("valid", "test"):
        point[part] = _figures(score_rows(model, open_rows(work.part(part), model.schema)))
    return point


def _figures(scores: Scores) -> dict[str, float]:
    return {"auc": scores.auc, "logloss": scores.logloss, "auc_standard_error": scores.auc_standard_error}
