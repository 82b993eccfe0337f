"""Artifacts and the baseline, measured, and limits held against them; what cannot be is told, and stops nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.artifact import PackedFM
from fmcompress.errors import FMCompressError
from fmcompress.gates.gate import Figure, Limit
from fmcompress.reporting.verdict import Check, JudgedModel

if TYPE_CHECKING:
    from fmcompress.evaluation.predictors import Model
    from fmcompress.evaluation.scores import Scores

_NOISE = Fraction(1, 10**12)
"""Scores are sums of many rounded numbers: differences below this are none. Bytes are exact."""


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
        return f"{self.model.name}: {_why_none(figure, scores)}" if math.isnan(getattr(scores, figure)) else ""

    def figure(self, figure: Figure) -> float | None:
        """Return the size or a score; None where it is not known."""
        if self.lacks(figure):
            return None
        return self.model.file_bytes if figure == "bytes" else float(getattr(self.model.scores, figure))


def measure(
    path: str | Path, load: Callable[[str | Path], Model], score: Callable[[Model, str], Scores] | None
) -> Measured:
    """Return the figures of a model.

    Args:
        path: its file, or its folder.
        load: what loads it from there.
        score: what scores it, told its name; None where no scores are wanted.
    """
    name, scores, unscored = str(path), None, ""
    try:
        model = load(path)
        file_bytes = _stored_bytes(model, Path(path))
    except (FMCompressError, OSError) as error:
        return Measured(JudgedModel(name, "", None, None), unreadable=_reason(error))
    try:
        scores = score(model, name) if score else None
    except (FMCompressError, OSError) as error:
        unscored = _reason(error)
    return Measured(JudgedModel(name, _kind(model), file_bytes, scores), unscored=unscored)


def judge(limit: Limit, artifact: Measured, baseline: Measured | None) -> Check:
    """Return whether an artifact keeps a limit.

    Args:
        limit: the limit.
        artifact: the artifact, measured.
        baseline: what it is compared with, measured; None where nothing is.
    """
    gate = limit.gate
    against = baseline if gate.compares else None
    value = artifact.figure(gate.figure)
    base = against.figure(gate.figure) if against else None
    reason = artifact.lacks(gate.figure) or (against.lacks(gate.figure) if against else "")
    if limit.percent and base == 0 and against:
        reason = reason or f"{against.model.name}: its {gate.unit} is 0, of which there is no percentage"
    actual = None if value is None or reason else _actual(limit, value, base)
    return Check(
        name=gate.name,
        artifact=artifact.model.name,
        actual=None if actual is None else _number(limit, actual),
        limit=_number(limit, limit.amount),
        unit="%" if limit.percent else gate.unit,
        passed=None if actual is None else _keeps(limit, actual),
        value=value,
        baseline=base,
        value_unit=gate.unit,
        reason=reason,
    )


def _actual(limit: Limit, value: float, base: float | None) -> Fraction:
    """Return what a limit is held against: the figure, or how much worse it is than the baseline's."""
    if base is None:
        return Fraction(value)
    risen = Fraction(value) - Fraction(base)
    worse = -risen if limit.gate.more_is_better else risen
    return 100 * worse / Fraction(base) if limit.percent else worse


def _keeps(limit: Limit, actual: Fraction) -> bool:
    noise = _NOISE if limit.gate.scores else 0
    if limit.gate.is_least:
        return actual >= limit.amount - noise
    return actual <= limit.amount + noise


def _number(limit: Limit, amount: Fraction) -> float:
    """Return bytes as a whole number, all else as a float."""
    return int(amount) if limit.gate.unit == "bytes" and not limit.percent else float(amount)


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
