"""Scores of several models side by side, as data, text, JSON and Markdown."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fmcompress.evaluation.scores import Scores
from fmcompress.reporting.document import Table, json_document
from fmcompress.text import with_error


@dataclass(frozen=True)
class EvaluatedModel:
    """Scores of one model.

    Attributes:
        name: its file.
        bytes: size of its file.
        scores: how well it predicts.
        auc_change_error: standard error of its AUC less that of the first model, on the same rows; NaN of the first
            model itself, and where one has no AUC.
    """

    name: str
    bytes: int
    scores: Scores
    auc_change_error: float = math.nan


Column = tuple[str, Callable[[EvaluatedModel], str]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of several models; differences are to the first one."""

    models: tuple[EvaluatedModel, ...]

    def to_json(self) -> str:
        """Return the scores as JSON; a figure that does not exist is null."""
        models = [_entry(each) for each in self.models]
        return json_document("evaluate", {"models": models})

    def to_text(self) -> str:
        """Return the scores as plain text."""
        return self._table().plain()

    def to_markdown(self) -> str:
        """Return the scores as Markdown."""
        return self._table().markdown()

    def _table(self) -> Table:
        """Return the figures that there are: those of probabilities, of regressions, or both."""
        regressions = [model.scores.regression for model in self.models]
        columns: list[Column] = [
            ("model", lambda model: model.name),
            ("bytes", lambda model: f"{model.bytes:,}"),
            ("rows", lambda model: f"{model.scores.rows:,}"),
        ]
        if not all(regressions):
            columns += [
                *self._auc(),
                *self._with_difference("LogLoss", lambda scores: scores.logloss),
                *self._with_difference("calibrated", lambda scores: scores.calibrated_logloss),
                ("ECE", lambda model: f"{model.scores.calibration_error:.5f}"),
                ("calibration", lambda model: f"{model.scores.calibration:.4f}"),
            ]
        if any(regressions):
            columns += self._with_difference("RMSE", lambda scores: scores.rmse)
        rows = [tuple(show(model) for _, show in columns) for model in self.models]
        return Table(tuple(title for title, _ in columns), rows)

    def _auc(self) -> list[Column]:
        """Return the AUC and its difference to that of the first model, with standard errors."""
        first = self.models[0].scores.auc
        return [
            ("AUC", lambda model: with_error(f"{model.scores.auc:.5f}", model.scores.auc_standard_error)),
            ("ΔAUC", lambda model: with_error(f"{model.scores.auc - first:+.5f}", model.auc_change_error)),
        ]

    def _with_difference(self, title: str, figure: Callable[[Scores], float]) -> list[Column]:
        """Return a figure, and its difference to that of the first model."""
        first = figure(self.models[0].scores)
        return [
            (title, lambda model: f"{figure(model.scores):.5f}"),
            (f"Δ{title}", lambda model: f"{figure(model.scores) - first:+.5f}"),
        ]


def _entry(model: EvaluatedModel) -> dict[str, Any]:
    change = {"auc_change_standard_error": model.auc_change_error}
    return {"name": model.name, **asdict(model.scores), **change, "bytes": model.bytes}
