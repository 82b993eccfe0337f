"""Artifacts and the baseline, measured, and limits held against them; what cannot be is told, and stops nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.artifact import PackedFM
from fmcompress.errors import FMCompressError
from fmcompress.gates.gate import Figure, Limit
from fmcompress.gates.uncertainty import Bounds, bounds, rows_to_tell, standard_error_of, too_few
from fmcompress.reporting.verdict import Check, JudgedModel

if TYPE_CHECKING:
    from fmcompress.evaluation.predictors import Model
    from fmcompress.evaluation.scores import ScoredRows, Scores

_NOISE = Fraction(1, 10**12)
"""Scores are sums of many rounded numbers: differences below this are none. Bytes are exact."""


@dataclass(frozen=True)
class Measured:
    """A model, as far as it could be measured.

    Attributes:
        model: its figures.
        unreadable: why the file cannot be read; empty where it can.
        unscored: why there are no scores; empty where there are, or nobody asked for them.
        rows: its predictions on the labelled rows; None where there are none.
    """

    model: JudgedModel
    unreadable: str = ""
    unscored: str = ""
    rows: ScoredRows | None = None

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
    path: str | Path, load: Callable[[str | Path], Model], score: Callable[[Model, str], ScoredRows] | None
) -> Measured:
    """Return the figures of a model.

    Args:
        path: its file, or its folder.
        load: what loads it from there.
        score: what scores it, told its name; None where no scores are wanted.
    """
    name, rows, unscored = str(path), None, ""
    try:
        model = load(path)
        file_bytes = _stored_bytes(model, Path(path))
    except (FMCompressError, OSError) as error:
        return Measured(JudgedModel(name, "", None, None), unreadable=_reason(error))
    try:
        rows = score(model, name) if score else None
    except (FMCompressError, OSError) as error:
        unscored = _reason(error)
    scores = None if rows is None else rows.scores
    return Measured(JudgedModel(name, _kind(model), file_bytes, scores), unscored=unscored, rows=rows)


def judge(limit: Limit, artifact: Measured, baseline: Measured | None, confidence: float | None = None) -> Check:
    """Return whether an artifact keeps a limit.

    Args:
        limit: the limit.
        artifact: the artifact, measured.
        baseline: what it is compared with, measured; None where nothing is.
        confidence: with which a limit of a score must be kept, or broken; None judges by the figure alone.
    """
    gate = limit.gate
    against = baseline if gate.compares else None
    value = artifact.figure(gate.figure)
    base = against.figure(gate.figure) if against else None
    reason = _why_not(limit, artifact, against)
    actual = None if value is None or reason else _actual(limit, value, base)
    found = _Found(limit, actual)
    if actual is not None and gate.scores:
        reason = _too_few(artifact)
        found = _with_error(found, artifact, against, None if reason else confidence)
        reason = reason or _undecided(found, artifact)
    return Check(
        name=gate.name,
        artifact=artifact.model.name,
        actual=None if actual is None else _number(limit, actual),
        limit=_number(limit, limit.amount),
        unit="%" if limit.percent else gate.unit,
        passed=None if reason else found.kept,
        value=value,
        baseline=base,
        value_unit=gate.unit,
        reason=reason,
        standard_error=found.error,
        confidence=found.bounds.confidence if found.bounds else None,
        lower=found.bounds.lower if found.bounds else None,
        upper=found.bounds.upper if found.bounds else None,
    )


@dataclass(frozen=True)
class _Found:
    """What a limit is held against.

    Attributes:
        limit: the limit.
        actual: the figure, or how much worse it is than the baseline's; None where it is not known.
        error: its standard error.
        bounds: where it lies, with the confidence that is asked for; None where the figure alone decides.
    """

    limit: Limit
    actual: Fraction | None
    error: float | None = None
    bounds: Bounds | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None where it may be or not."""
        if self.actual is None:
            return None
        if self.bounds is None:
            return _keeps(self.limit, self.actual)
        worst, best = self.bounds.upper, self.bounds.lower
        if self.limit.gate.is_least:
            worst, best = best, worst
        if _keeps(self.limit, Fraction(worst)):
            return True
        return None if _keeps(self.limit, Fraction(best)) else False


def _why_not(limit: Limit, artifact: Measured, against: Measured | None) -> str:
    """Return why a figure, or its difference to the baseline's, is not known; nothing where it is."""
    figure = limit.gate.figure
    reason = artifact.lacks(figure) or (against.lacks(figure) if against else "")
    if reason or against is None:
        return reason
    if limit.percent and against.figure(figure) == 0:
        return f"{against.model.name}: its {limit.gate.unit} is 0, of which there is no percentage"
    if artifact.rows is not None and against.rows is not None:
        from fmcompress.evaluation.deviations import same_labels

        if not same_labels(artifact.rows, against.rows):
            return f"{artifact.model.name} and {against.model.name} were scored on other rows: the data have changed"
    return ""


def _with_error(found: _Found, artifact: Measured, against: Measured | None, confidence: float | None) -> _Found:
    """Return a figure with its standard error and, where a confidence is asked for, its bounds."""
    error = standard_error_of(found.limit, artifact.rows, against.rows if against else None)
    if error is None or found.actual is None:
        return found
    asked = None if confidence is None else bounds(found.limit, float(found.actual), error, confidence)
    return replace(found, error=error, bounds=asked)


def _too_few(artifact: Measured) -> str:
    """Return why there are too few rows to judge by; nothing where there are enough."""
    few = too_few(artifact.model.scores) if artifact.model.scores else ""
    return few and f"{artifact.model.name}: {few}"


def _undecided(found: _Found, artifact: Measured) -> str:
    """Return why bounds leave open whether a limit is kept; nothing where they do not."""
    scores, asked = artifact.model.scores, found.bounds
    if scores is None or asked is None or found.kept is not None or found.actual is None:
        return ""
    told = f"{artifact.model.name}: with a confidence of {asked.confidence:g} it may keep the limit or break it"
    needed = rows_to_tell(found.limit, float(found.actual), found.error or 0.0, asked.confidence, scores.rows)
    return told if needed is None else f"{told}; some {needed:,} rows like these {scores.rows:,} would tell"


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
