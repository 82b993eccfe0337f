"""Scores of several models side by side, as text, JSON and Markdown."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from fmcompress.evaluation import Scores
from fmcompress.reporting.render import without_nan
from fmcompress.reporting.table import Table, markdown_table, plain_table


@dataclass(frozen=True)
class EvaluatedModel:
    """Scores of one model.

    Attributes:
        name: its file.
        rows: number of rows.
        auc: area under the ROC curve; NaN where all labels are the same.
        logloss: mean binary cross entropy, in nats.
        calibration: predicted over observed positives.
        bytes: size of its file.
    """

    name: str
    rows: int
    auc: float
    logloss: float
    calibration: float
    bytes: int

    @classmethod
    def of(cls, name: str, size_bytes: int, scores: Scores) -> EvaluatedModel:
        """Return the scores of a model with its name and size."""
        return cls(name, scores.rows, scores.auc, scores.logloss, scores.calibration, size_bytes)


@dataclass(frozen=True)
class Evaluation:
    """Scores of several models; differences are to the first one."""

    models: tuple[EvaluatedModel, ...]

    def to_json(self) -> str:
        """Return the scores as JSON; an AUC that does not exist is null."""
        return json.dumps(without_nan(asdict(self)), indent=2, ensure_ascii=False)

    def to_text(self) -> str:
        """Return the scores as plain text."""
        return plain_table(self._table())

    def to_markdown(self) -> str:
        """Return the scores as Markdown."""
        return markdown_table(self._table())

    def _table(self) -> Table:
        first = self.models[0]
        rows = [
            (
                model.name,
                f"{model.bytes:,}",
                f"{model.rows:,}",
                f"{model.auc:.5f}",
                f"{model.auc - first.auc:+.5f}",
                f"{model.logloss:.5f}",
                f"{model.logloss - first.logloss:+.5f}",
                f"{model.calibration:.4f}",
            )
            for model in self.models
        ]
        return Table(("model", "bytes", "rows", "AUC", "ΔAUC", "LogLoss", "ΔLogLoss", "calibration"), rows)
