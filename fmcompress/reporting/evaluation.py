"""Scores of several models side by side, as data, text, JSON and Markdown."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from fmcompress.evaluation.scores import Scores
from fmcompress.reporting.document import Table, json_document


@dataclass(frozen=True)
class EvaluatedModel:
    """Scores of one model.

    Attributes:
        name: its file.
        bytes: size of its file.
        scores: how well it predicts.
    """

    name: str
    bytes: int
    scores: Scores


Column = tuple[str, Callable[[EvaluatedModel], str]]


@dataclass(frozen=True)
class Evaluation:
    """Scores of several models; differences are to the first one."""

    models: tuple[EvaluatedModel, ...]

    def to_json(self) -> str:
        """Return the scores as JSON; a figure that does not exist is null."""
        models = [{"name": each.name, **asdict(each.scores), "bytes": each.bytes} for each in self.models]
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
                *self._with_difference("AUC", lambda scores: scores.auc),
                *self._with_difference("LogLoss", lambda scores: scores.logloss),
                ("calibration", lambda model: f"{model.scores.calibration:.4f}"),
            ]
        if any(regressions):
            columns += self._with_difference("RMSE", lambda scores: scores.rmse)
        rows = [tuple(show(model) for _, show in columns) for model in self.models]
        return Table(tuple(title for title, _ in columns), rows)

    def _with_difference(self, title: str, figure: Callable[[Scores], float]) -> list[Column]:
        """Return a figure, and its difference to that of the first model."""
        first = figure(self.models[0].scores)
        return [
            (title, lambda model: f"{figure(model.scores):.5f}"),
            (f"Δ{title}", lambda model: f"{figure(model.scores) - first:+.5f}"),
        ]
