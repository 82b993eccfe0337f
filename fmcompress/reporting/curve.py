"""The size-quality curve of a checkpoint: as data, as text, Markdown and JSON, and read from its JSON again."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from fmcompress.arguments import checked_arguments
from fmcompress.artifact import Quality
from fmcompress.errors import UsageError
from fmcompress.reporting.document import Table, json_document

MeasuredOn = Literal["test", "validation"]
"""The rows that figures of quality are of."""

PROBABILITIES = {"auc": "AUC", "logloss": "LogLoss"}
NUMBERS = {"rmse": "RMSE"}
"""Scores of models that predict probabilities or numbers, and what they are called."""

_SCORES = ("auc", "logloss", "rmse")
_NOTHING = "-"
_DECLARED: dict[type, tuple[Callable[[Any], bool], str]] = {
    str: (lambda value: isinstance(value, str), "text"),
    int: (lambda value: type(value) is int and 0 < value < 2**63, "positive whole number"),
    float: (lambda value: type(value) in (int, float) and math.isfinite(value), "number"),
}
"""What values of a declared type must be in JSON, and what that is called."""

_HINT = "fmcompress sweep … --format json > curve.json writes one"


def scores_of(quality: Quality | None) -> Mapping[str, str]:
    """Return the scores that a model is measured by, and what they are called: of a regression the RMSE."""
    return NUMBERS if quality is not None and quality.regression else PROBABILITIES


@dataclass(frozen=True)
class CurveSource:
    """The factorization machine that is compressed.

    Attributes:
        name: its file.
        fp32_bytes: its embeddings and linear weights in fp32: what ratios are taken of.
        quality: how well it predicts; None without labelled data.
    """

    name: str
    fp32_bytes: int
    quality: Quality | None


@dataclass(frozen=True)
class CurvePoint:
    """A file of the curve, or a budget that no file meets.

    Attributes:
        name: what it is, for people.
        baseline: key of the baseline; None for our own.
        budget_bytes: the size that was asked for; None for baselines.
        file_bytes: size of the file; None where the budget cannot be met.
        quality: how well it predicts; None without labelled data, and where there is no file.
        predicted_rise: rise of the LogLoss that was expected before tuning; None where there is no file, and for
            baselines.
        seconds: what planning, quantizing and tuning took, without what all points share.
        smallest_bytes: where the budget cannot be met, the smallest size that can.
    """

    name: str
    baseline: str | None
    budget_bytes: int | None
    file_bytes: int | None
    quality: Quality | None
    predicted_rise: float | None
    seconds: float
    smallest_bytes: int | None = None


@dataclass(frozen=True)
class CurvePanel:
    """What is drawn over bytes.

    Attributes:
        label: of the axis.
        of: the figure of a point.
        source: the figure of the checkpoint, drawn across.
    """

    label: str
    of: Callable[[CurvePoint], float | None]
    source: float


@checked_arguments
@dataclass(frozen=True)
class Curve:
    """Sizes and how well a model of that size predicts; differences are to the checkpoint.

    Attributes:
        checkpoint: the factorization machine.
        points: our own, from small to large budgets, then those of baselines.
        measured_on: the rows that quality is of; None without labelled data.
    """

    checkpoint: CurveSource
    points: tuple[CurvePoint, ...]
    measured_on: MeasuredOn | None

    def to_json(self) -> str:
        """Return the curve as JSON, two spaces a level; figures that do not exist are null."""
        source = self.checkpoint
        found = {
            "checkpoint": {"name": source.name, "fp32_bytes": source.fp32_bytes, **self._scores(source.quality)},
            "points": [self._entry(point) for point in self.points],
        }
        return json_document("sweep", found)

    def to_text(self) -> str:
        """Return the curve as plain text."""
        return f"{self.table().plain()}\n\n{self.caption()}"

    def to_markdown(self) -> str:
        """Return the curve as Markdown."""
        return f"{self.table().markdown()}\n\n{self.caption()}"

    def table(self) -> Table:
        """Return the curve as a table."""
        measured = [head for label in self._measured_by.values() for head in (label, f"Δ{label}")]
        source = self.checkpoint
        first = (f"{source.name}, in fp32", _NOTHING, f"{source.fp32_bytes:,}", "1.00", *self._cells(source.quality))
        rows = [(*first, _NOTHING, _NOTHING), *map(self._row, self.points)]
        head = ("model", "budget", "bytes", "ratio", *(measured if self.measured_on else ()))
        return Table((*head, "predicted rise", "seconds"), rows)

    def caption(self) -> str:
        """Return what the scores are of."""
        quality = self.checkpoint.quality
        if quality is None:
            return "AUC and LogLoss are not known without labelled data; the predicted rise is of LogLoss."
        scores = " and ".join(self._measured_by.values())
        loss = "half the squared error" if quality.regression else "LogLoss"
        rows = f"{quality.rows:,} rows of {self.measured_on} data"
        measured = f"{scores} {'is' if quality.regression else 'are'} of {rows}"
        error = quality.auc_standard_error
        if error is not None and math.isfinite(error):
            measured += f", the checkpoint's AUC with a standard error of {error:.5f}"
        if math.isfinite(quality.calibrated_logloss):
            measured += f"; calibrated on them, the checkpoint has a LogLoss of {quality.calibrated_logloss:.5f}"
        return f"{measured}; the predicted rise is of {loss}, before tuning."

    def panels(self) -> list[CurvePanel]:
        """Return what can be drawn over bytes: the scores, or without labelled data the predicted rise."""
        source = self.checkpoint.quality
        if source is None:
            return [CurvePanel("predicted rise of LogLoss", lambda point: point.predicted_rise, 0.0)]
        panels = [
            CurvePanel(f"{label}, {self.measured_on} data", _score(name), getattr(source, name))
            for name, label in scores_of(source).items()
        ]
        return [panel for panel in panels if math.isfinite(panel.source)]  # no AUC where all labels are the same

    def lines(self) -> dict[str, list[CurvePoint]]:
        """Return the points that have a file, by what makes them, our own first; each from small to large."""
        points = sorted((p for p in self.points if p.file_bytes is not None), key=lambda p: p.file_bytes or 0)
        names = dict.fromkeys(point.baseline or point.name for point in self.points)
        return {name: found for name in names if (found := [p for p in points if (p.baseline or p.name) == name])}

    def _entry(self, point: CurvePoint) -> dict[str, Any]:
        change = self._change(point.quality)
        return {
            "name": point.name,
            "baseline": point.baseline,
            "budget_bytes": point.budget_bytes,
            "file_bytes": point.file_bytes,
            "smallest_bytes": point.smallest_bytes,
            "ratio": self._ratio(point),
            **self._scores(point.quality),
            **{f"delta_{name}": change and getattr(change, name) for name in _SCORES},
            "predicted_rise": point.predicted_rise,
            "seconds": round(point.seconds, 3),
        }

    def _scores(self, quality: Quality | None) -> dict[str, Any]:
        found = {name: quality and getattr(quality, name) for name in (*_SCORES, "auc_standard_error", "rows")}
        known = quality is not None and math.isfinite(quality.calibrated_logloss)
        calibrated = quality.calibrated_logloss if quality is not None and known else None
        return {**found, "calibrated_logloss": calibrated, "measured_on": quality and self.measured_on}

    def _ratio(self, point: CurvePoint) -> float | None:
        return None if point.file_bytes is None else self.checkpoint.fp32_bytes / point.file_bytes

    def _change(self, quality: Quality | None) -> Quality | None:
        """Return the scores less those of the checkpoint."""
        source = self.checkpoint.quality
        if quality is None or source is None:
            return None
        return Quality(quality.rows, *(getattr(quality, name) - getattr(source, name) for name in _SCORES))

    def _row(self, point: CurvePoint) -> tuple[str, ...]:
        least = point.smallest_bytes
        name = point.name if point.baseline is None else f"{point.baseline}: {point.name}"
        return (
            name if least is None else f"{name}: too small, the least is {least:,} bytes",
            _cell(point.budget_bytes, ","),
            _cell(point.file_bytes, ","),
            _cell(self._ratio(point), ".2f"),
            *self._cells(point.quality),
            _cell(point.predicted_rise, "+.5f"),
            f"{point.seconds:.1f}",
        )

    def _cells(self, quality: Quality | None) -> tuple[str, ...]:
        """Return the scores with their changes; no cells at all without labelled data."""
        if self.measured_on is None:
            return ()
        change = self._change(quality)
        if quality is None or change is None:
            return (_NOTHING,) * 2 * len(self._measured_by)
        return tuple(
            f"{getattr(each, score):{digits}}"
            for score in self._measured_by
            for each, digits in ((quality, ".5f"), (change, "+.5f"))
        )

    @property
    def _measured_by(self) -> Mapping[str, str]:
        return scores_of(self.checkpoint.quality)


Data = TypeVar("Data", CurveSource, CurvePoint)


def read_curve(path: str | Path) -> Curve:
    """Read a curve from the JSON that ``sweep`` writes.

    Raises:
        UsageError: the file cannot be read, or holds no curve.
    """
    try:
        return _parsed(json.loads(Path(path).read_bytes().decode()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}", hint=_HINT) from error
    except KeyError as error:
        wrong = f"there is no {error.args[0]}"
    except (TypeError, OverflowError):
        wrong = "it has another form"
    except (ValueError, RecursionError) as error:
        wrong = str(error)[:100]
    raise UsageError(f"{path} is no curve of fmcompress: {wrong}", hint=_HINT)


def _parsed(found: Any) -> Curve:
    """Return a curve from plain data; the inverse of ``Curve.to_json``, but for what rounding took."""
    checkpoint = _declared(CurveSource, found["checkpoint"])
    measured_on = found["checkpoint"]["measured_on"]
    if measured_on not in (None, *get_args(MeasuredOn)):
        raise ValueError(f"measured on {measured_on!r}")
    if (checkpoint.quality is None) != (measured_on is None):
        raise ValueError("rows and what they are of do not fit together")
    return Curve(checkpoint, tuple(_declared(CurvePoint, point) for point in found["points"]), measured_on)


def _declared(kind: type[Data], found: Any) -> Data:
    """Return plain data as a dataclass, whose annotations say what each value must be."""
    declared = get_type_hints(kind)
    values = {name: _value(found, name, declared[name]) for name in declared if name != "quality"}
    return kind(**values, quality=_quality(found))


def _value(found: Any, key: str, declared: Any) -> Any:
    value = found[key]
    kind, *others = get_args(declared) or (declared,)
    if value is None and others:
        return None
    is_one, what = _DECLARED[kind]
    if not is_one(value):
        raise ValueError(f"{key} is no {what}")
    return value


def _quality(found: Any) -> Quality | None:
    if found["rows"] is None:
        return None
    scores = [_value(found, name, float | None) for name in _SCORES]
    later = {"auc_standard_error": None, "calibrated_logloss": None, **found}
    error, calibrated = (_value(later, name, float | None) for name in ("auc_standard_error", "calibrated_logloss"))
    auc, logloss, rmse, calibrated = (math.nan if score is None else float(score) for score in (*scores, calibrated))
    return Quality(_value(found, "rows", int), auc, logloss, rmse, error, calibrated)


def _score(name: str) -> Callable[[CurvePoint], float | None]:
    return lambda point: None if point.quality is None else getattr(point.quality, name)


def _cell(figure: float | None, digits: str) -> str:
    return _NOTHING if figure is None else f"{figure:{digits}}"
