"""What came out of the release gate: as data, text, JSON, Markdown, and annotations of GitHub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Literal

from fmcompress.arguments import checked_arguments
from fmcompress.reporting.document import (
    NOTHING,
    Level,
    Paragraph,
    Table,
    json_document,
    markdown_document,
    plain_document,
    workflow_command,
)
from fmcompress.sizes import format_size

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import Scores

Unit = Literal["bytes", "AUC", "nats", "RMSE"]
"""What figures are counted in."""

Outcome = Literal["pass", "FAIL", "not judged"]

_DECIMALS, _PERCENT_DECIMALS, _MOST_DECIMALS = 5, 2, 12
_CERTAIN = 1.645
"""Standard errors between a figure and a limit from which on the figure is on its side with a confidence of 95 %."""
_MARKS = {"pass": "✅ pass", "FAIL": "❌ FAIL", "not judged": "❔ not judged"}


@dataclass(frozen=True)
class Check:
    """One limit, and whether an artifact keeps it.

    Attributes:
        name: name of the gate: ``max-size``, ``max-growth``, ``min-auc``, …
        artifact: the artifact.
        actual: what the limit is held against: a figure of the artifact, or how much worse it is than the baseline's;
            None where it is not known.
        limit: the limit.
        unit: what both are counted in; ``%`` is of the baseline's figure.
        passed: whether the limit is kept; None where that could not be judged.
        value: the artifact's own figure; None where it is not known.
        baseline: the baseline's figure; None where it is not known or not compared with.
        value_unit: what these two are counted in.
        reason: why it could not be judged; else empty.
        standard_error: of ``actual``, on rows that do not depend on each other; None of sizes, which are exact, and
            where it is not known.
        confidence: with which the bounds hold, each by itself; None where the figure alone decides.
        lower: ``actual`` is at least this; None without a confidence.
        upper: ``actual`` is at most this; None without a confidence.
    """

    name: str
    artifact: str
    actual: float | None
    limit: float
    unit: Unit | Literal["%"]
    passed: bool | None
    value: float | None
    baseline: float | None
    value_unit: Unit
    reason: str = ""
    standard_error: float | None = None
    confidence: float | None = None
    lower: float | None = None
    upper: float | None = None

    @property
    def outcome(self) -> Outcome:
        """The verdict, in a word or two."""
        if self.passed is None:
            return "not judged"
        return "pass" if self.passed else "FAIL"


@dataclass(frozen=True)
class JudgedModel:
    """An artifact that is checked, or the baseline.

    Attributes:
        name: its file.
        kind: what it is: ``artifact``, ``checkpoint of libFM``; empty where it cannot be read.
        file_bytes: size of the file, or of all files of a folder; None where it cannot be read.
        scores: its scores; None where they are not asked for, or the data cannot be used.
    """

    name: str
    kind: str
    file_bytes: int | None
    scores: Scores | None


@checked_arguments
@dataclass(frozen=True)
class Verdict:
    """What came out of the checks.

    Attributes:
        checks: the checks, artifact by artifact.
        artifacts: the artifacts.
        baseline: what they are compared with, or None.
    """

    checks: tuple[Check, ...]
    artifacts: tuple[JudgedModel, ...]
    baseline: JudgedModel | None

    @property
    def passed(self) -> bool:
        """Whether all limits are kept, for certain."""
        return all(check.passed for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks whose limits are not kept."""
        return tuple(check for check in self.checks if check.passed is False)

    @property
    def not_judged(self) -> tuple[Check, ...]:
        """The checks that could not be judged."""
        return tuple(check for check in self.checks if check.passed is None)

    def to_text(self) -> str:
        """Return the verdict as plain text."""
        return plain_document([self._table(), self._notes()])

    def to_json(self) -> str:
        """Return the verdict as JSON."""
        counts = {"passed": self.passed, "failed": len(self.failed), "not_judged": len(self.not_judged)}
        return json_document("check", {**counts, **asdict(self)})

    def to_markdown(self) -> str:
        """Return the verdict as Markdown, for the summary of a job."""
        return markdown_document([self._table(_MARKS), self._notes()], f"Release check: {self._summary()}") + "\n"

    def to_github(self) -> str:
        """Return the verdict as workflow commands of GitHub, which it shows as annotations.

        The last line, for the log, holds no name: whatever stands in a log could be taken for another command.
        """
        return "\n".join([*map(_command, self.checks), f"Release check: {self._summary()}"])

    def _summary(self) -> str:
        """Return how the checks ended, in a few words."""
        total = len(self.checks)
        ends = [f"{len(self.failed)} of {total} failed"] if self.failed else []
        ends += [f"{len(self.not_judged)} of {total} could not be judged"] if self.not_judged else []
        return ", ".join(ends) or f"{total} of {total} passed"

    def _table(self, marks: Mapping[str, str] | None = None) -> Table:
        columns: list[tuple[str, Callable[[Check], str]]] = [
            ("artifact", lambda check: check.artifact),
            ("check", lambda check: check.name),
            ("actual", lambda check: _figures(check)[0]),
            ("limit", lambda check: _figures(check)[1]),
            ("verdict", lambda check: marks[check.outcome] if marks else check.outcome),
        ]
        level = next((check.confidence for check in self.checks if check.confidence is not None), None)
        if level is not None:
            columns.insert(3, (f"{100 * level:g}% bounds", _bounds))
        if any(check.standard_error is not None for check in self.checks):
            columns.insert(3, ("std. error", _error))
        rows = [tuple(show(check) for _, show in columns) for check in self.checks]
        return Table(tuple(title for title, _ in columns), rows, left=2)

    def _notes(self) -> Paragraph:
        """Return what the table does not tell: what was compared, scores, why some could not be judged, or hardly."""
        known = [f"baseline {_described(self.baseline)}"] if self.baseline and self.baseline.kind else []
        known += [_described(artifact) for artifact in self.artifacts if artifact.scores]
        reasons: dict[str, dict[str, None]] = {}
        for check in self.not_judged:
            reasons.setdefault(check.reason, {})[check.name] = None
        why = [f"not judged: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
        return Paragraph([*known, *why, *filter(None, map(_chance, self.checks))], bullet="- ")


def _command(check: Check) -> str:
    actual, limit = _figures(check)
    if check.confidence is not None:
        actual += f" ({_bounds(check)} with a confidence of {check.confidence:g})"
    elif check.standard_error is not None:
        actual += f" (standard error {_error(check)})"
    told = f"{check.reason}; the limit is {limit}" if check.passed is None else f"{actual}, the limit is {limit}"
    level: Level = "notice" if check.passed else "error"
    return workflow_command(level, f"{check.name}: {check.outcome}", f"{check.artifact}: {told}")


def _chance(check: Check) -> str:
    """Return a warning where the figure alone has decided, and might have fallen on the other side; else nothing."""
    error = check.standard_error
    if check.passed is None or check.confidence is not None or check.actual is None or not error:
        return ""
    if abs(check.actual - check.limit) > _CERTAIN * error:
        return ""
    return (
        f"{check.name} of {check.artifact}: the limit is {abs(check.actual - check.limit) / error:.1f} standard errors "
        "away, so chance may have decided; --confidence 0.95 judges what is certain"
    )


def _error(check: Check) -> str:
    return NOTHING if check.standard_error is None else _in_unit(check, check.standard_error)


def _bounds(check: Check) -> str:
    if check.lower is None or check.upper is None:
        return NOTHING
    return f"{_in_unit(check, check.lower)} to {_in_unit(check, check.upper)}"


def _in_unit(check: Check, number: float) -> str:
    return f"{number:.{_PERCENT_DECIMALS}f}%" if check.unit == "%" else f"{number:.{_DECIMALS}f}"


def _figures(check: Check) -> tuple[str, str]:
    """Return what a check found and its limit, for people: texts that differ where the figures do."""
    least = _PERCENT_DECIMALS if check.unit == "%" else _DECIMALS
    if check.actual is None:
        return NOTHING, _shown(check, check.limit, least)
    for decimals in range(least, _MOST_DECIMALS + 1):
        texts = _shown(check, check.actual, decimals), _shown(check, check.limit, decimals)
        if texts[0] != texts[1]:
            return texts
    return _shown(check, check.actual, least), _shown(check, check.limit, least)


def _shown(check: Check, number: float, decimals: int) -> str:
    """Return what was found, or the limit, in the unit of the check; exact bytes stand beside."""
    if check.unit == "bytes":
        return format_size(int(number)) if number >= 0 else f"-{format_size(-int(number))}"
    if check.unit != "%":
        return f"{number:.{decimals}f}"
    if check.value_unit != "bytes" or check.baseline is None:
        return f"{number:.{decimals}f}%"
    # As the limit was written: 5.1 is no float, and one that is near may name a byte less.
    size_bytes = Fraction(str(number)) * int(check.baseline) / 100
    exact = floor(size_bytes) if number == check.limit else round(size_bytes)
    return f"{number:.{decimals}f}% ({exact:,} bytes)"


def _described(model: JudgedModel) -> str:
    size = "" if model.file_bytes is None else f", stored in {format_size(model.file_bytes)}"
    scores = f"; {model.scores}, {model.scores.rows:,} rows" if model.scores else ""
    return f"{model.name}: {model.kind}{size}{scores}"
