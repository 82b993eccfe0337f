"""Scores of several models side by side, as data, text, JSON and Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from fmcompress.evaluation.scores import Scores
from fmcompress.reporting.document import Table, json_document


@dataclass(frozen=True)
class EvaluatedModel:
    """Scores of one model.

    Attributes:
        name: its file.
        rows: number of rows.
        auc: area under the ROC curve; NaN where all labels are the same.
        logloss: mean binary cross entropy, in nats.
        calibration: predicted over observed positives.
        rmse: square root of the mean squared error of a regression, which has none of the others; NaN for
            probabilities.
        bytes: size of its file.
    """

    name: str
    rows: int
    auc: float
    logloss: float
    calibration: float
    rmse: float
    bytes: int

    @classmethod
    def of(cls, name: str, size_bytes: int, scores: Scores) -> EvaluatedModel:
        """Return the scores of a model with its name and size."""
        return cls(name, **asdict(scores), bytes=size_bytes)


Column = tuple[str, Callable[[EvaluatedModel], str]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of several models; differences are to the first one."""

    models: tuple[EvaluatedModel, ...]

    def to_json(self) -> str:
        """Return the scores as JSON; a figure that does not exist is null."""
        return json_document("evaluate", asdict(self))

    def to_text(self) -> str:
        """Return the scores as plain text."""
        return self._table().plain()

    def to_markdown(self) -> str:
        """Return the scores as Markdown."""
        return self._table().markdown()

    def _table(self) -> Table:
        """Return the figures that there are: those of probabilities, of regressions, or both."""
        regressions = [not math.isnan(model.rmse) for model in self.models]
        columns: list[Column] = [
            ("model", lambda model: model.name),
            ("bytes", lambda model: f"{model.bytes:,}"),
            ("rows", lambda model: f"{model.rows:,}"),
        ]
        if not all(regressions):
            columns += [
                *self._with_difference("AUC", lambda model: model.auc),
                *self._with_difference("LogLoss", lambda model: model.logloss),
                ("calibration", lambda model: f"{model.calibration:.4f}"),
            ]
        if any(regressions):
            columns += self._with_difference("RMSE", lambda model: model.rmse)
        rows = [tuple(show(model) for _, show in columns) for model in self.models]
        return Table(tuple(title for title, _ in columns), rows)

    def _with_difference(self, title: str, figure: Callable[[EvaluatedModel], float]) -> list[Column]:
        """Return a figure, and its difference to that of the first model."""
        first = figure(self.models[0])
        return [
            (title, lambda model: f"{figure(model):.5f}"),
            (f"Δ{title}", lambda model: f"{figure(model) - first:+.5f}"),
        ]
