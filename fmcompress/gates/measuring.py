"""Artifacts and the baseline, measured; what cannot be is told, and stops nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.artifact import PackedFM
from fmcompress.data.options import DataOptions
from fmcompress.errors import FMCompressError
from fmcompress.gates.gate import Figure
from fmcompress.progress import Progress
from fmcompress.reporting.verdict import JudgedModel

if TYPE_CHECKING:
    from fmcompress.evaluation.predictors import Model
    from fmcompress.evaluation.scores import Scores
    from fmcompress.fm.vocabulary import Vocabulary

Loader = Callable[["str | Path"], "Model"]


@dataclass(frozen=True)
class Measured:
    """A model, as far as it could be measured.

    Attributes:
        model: its figures.
        unreadable: why the file cannot be read; empty where it can.
        unscored: why there are no scores; empty where there are, or nobody asked for them.
    """

    model: JudgedModel
    unreadable: str = ""
    unscored: str = ""

    def lacks(self, figure: Figure) -> str:
        """Return why a figure is not known; nothing where it is."""
        if self.unreadable or figure == "bytes":
            return self.unreadable
        scores = self.model.scores
        if scores is None:
            return self.unscored
        if not math.isnan(getattr(scores, figure)):
            return ""
        return f"{self.model.name}: {_why_none(figure, scores)}"

    def figure(self, figure: Figure) -> float | None:
        """Return the size or a score; None where it is not known."""
        if self.lacks(figure):
            return None
        if figure == "bytes":
            return self.model.file_bytes
        return float(getattr(self.model.scores, figure))


@dataclass(frozen=True)
class Measuring:
    """How models are measured.

    Attributes:
        data: labelled rows to score, or None.
        options: how they are read.
        vocabulary: tokens of the categories, in place of those of the models.
        progress: told of ids that are out of range.
    """

    data: str | Path | None
    options: DataOptions
    vocabulary: Vocabulary | None
    progress: Progress

    def measure(self, path: str | Path, loader: Loader, *, scored: bool) -> Measured:
        """Return the figures of a model.

        Args:
            path: its file, or its folder.
            loader: what loads it from there.
            scored: whether scores are wanted.
        """
        name = str(path)
        try:
            model = loader(path)
            file_bytes = _stored_bytes(model, Path(path))
        except (FMCompressError, OSError) as error:
            return Measured(JudgedModel(name, "", None, None), unreadable=_reason(error))
        scores, unscored = self._scores(model, name) if scored else (None, "")
        return Measured(JudgedModel(name, _kind(model), file_bytes, scores), unscored=unscored)

    def _scores(self, model: Model, name: str) -> tuple[Scores | None, str]:
        """Return the scores of a model, or why there are none."""
        from fmcompress.evaluation.scores import open_rows_for, score_rows

        if self.data is None:
            return None, "there are no data"
        try:
            rows = open_rows_for(model, self.data, self.options, vocabulary=self.vocabulary)
            scores = score_rows(model, rows)
        except (FMCompressError, OSError) as error:
            return None, _reason(error)
        if rows.out_of_range:
            self.progress.note(f"{name}: {rows.out_of_range:,} ids out of range or unknown contribute nothing")
        return scores, ""


def _stored_bytes(model: Model, path: Path) -> int:
    if isinstance(model, PackedFM):
        return model.file_bytes
    from fmcompress.checkpoints.model_files import stored_bytes

    return stored_bytes(path)


def _kind(model: Model) -> str:
    if isinstance(model, PackedFM):
        return "artifact"
    return f"checkpoint of {model.source.tool}" if model.source else "checkpoint"


def _reason(error: Exception) -> str:
    """Return what is wrong, with the hint."""
    hint = getattr(error, "hint", None)
    return f"{error} ({hint})" if hint else str(error)


def _why_none(figure: Figure, scores: Scores) -> str:
    if scores.regression:
        return "predicts numbers, which max-rmse and max-rmse-rise judge, not AUC and LogLoss"
    if figure == "rmse":
        return "predicts probabilities, which min-auc, max-auc-drop and max-logloss-rise judge, not RMSE"
    return "the labels are all the same, so there is no AUC"
