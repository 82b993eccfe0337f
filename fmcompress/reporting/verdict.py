"""The verdict of the release gate as text, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from math import floor

from fmcompress.gates.verdict import Check, JudgedModel, Verdict
from fmcompress.reporting.schema import json_document
from fmcompress.reporting.table import Table, markdown_table, markdown_text, plain_table
from fmcompress.sizes import format_size
from fmcompress.text import printable

_NOTHING = "–"
_DECIMALS, _PERCENT_DECIMALS, _MOST_DECIMALS = 5, 2, 12
_MARKS = {"pass": "✅ pass", "FAIL": "❌ FAIL", "not judged": "❔ not judged"}


def to_json(verdict: Verdict) -> str:
    """Return the verdict as JSON, two spaces a level; figures that do not exist are null."""
    found = {
        "passed": verdict.passed,
        "failed": len(verdict.failed),
        "not_judged": len(verdict.not_judged),
        **asdict(verdict),
    }
    return json_document("check", found)


def to_text(verdict: Verdict) -> str:
    """Return the verdict as plain text."""
    parts = [plain_table(_table(verdict)), "\n".join(printable(line) for line in _notes(verdict))]
    return "\n\n".join(part for part in parts if part)


def to_markdown(verdict: Verdict) -> str:
    """Return the verdict as Markdown."""
    notes = "\n".join(f"- {markdown_text(line)}" for line in _notes(verdict))
    parts = [f"## Release check: {markdown_text(summary(verdict))}", markdown_table(_table(verdict, _MARKS)), notes]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(verdict: Verdict) -> str:
    """Return how the checks ended, in a few words."""
    total = len(verdict.checks)
    ends = [f"{len(verdict.failed)} of {total} failed"] if verdict.failed else []
    ends += [f"{len(verdict.not_judged)} of {total} could not be judged"] if verdict.not_judged else []
    return ", ".join(ends) or f"{total} of {total} passed"


def figures(check: Check) -> tuple[str, str]:
    """Return what a check found and its limit, for people: texts that differ where the figures do."""
    least = _PERCENT_DECIMALS if check.unit == "%" else _DECIMALS
    if check.actual is None:
        return _NOTHING, _shown(check, check.limit, least)
    for decimals in range(least, _MOST_DECIMALS + 1):
        texts = _shown(check, check.actual, decimals), _shown(check, check.limit, decimals)
        if texts[0] != texts[1]:
            return texts
    return _shown(check, check.actual, least), _shown(check, check.limit, least)


def _shown(check: Check, number: float, decimals: int) -> str:
    """Return what was found, or the limit, in the unit of the check; exact bytes stand beside."""
    if check.unit == "bytes":
        return _size(int(number))
    if check.unit != "%":
        return f"{number:.{decimals}f}"
    if check.value_unit != "bytes" or check.baseline is None:
        return f"{number:.{decimals}f}%"
    # As the limit was written: 5.1 is no float, and one that is near may name a byte less.
    size_bytes = Fraction(str(number)) * int(check.baseline) / 100
    exact = floor(size_bytes) if number == check.limit else round(size_bytes)
    return f"{number:.{decimals}f}% ({exact:,} bytes)"


def _size(size_bytes: int) -> str:
    return format_size(size_bytes) if size_bytes >= 0 else f"-{format_size(-size_bytes)}"


def _table(verdict: Verdict, marks: Mapping[str, str] | None = None) -> Table:
    rows = [
        (check.artifact, check.name, *figures(check), marks[check.outcome] if marks else check.outcome)
        for check in verdict.checks
    ]
    return Table(("artifact", "check", "actual", "limit", "verdict"), rows, left=2)


def _notes(verdict: Verdict) -> list[str]:
    """Return what the table does not tell: what was compared, scores, and why some could not be judged."""
    known = [f"baseline {_described(verdict.baseline)}"] if verdict.baseline and verdict.baseline.kind else []
    known += [_described(artifact) for artifact in verdict.artifacts if artifact.scores]
    reasons: dict[str, list[str]] = {}
    for check in verdict.not_judged:
        reasons.setdefault(check.reason, []).append(check.name)
    return known + [f"not judged: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in reasons.items()]


def _described(model: JudgedModel) -> str:
    size = "" if model.file_bytes is None else f", stored in {format_size(model.file_bytes)}"
    scores = f"; {model.scores}, {model.scores.rows:,} rows" if model.scores else ""
    return f"{model.name}: {model.kind}{size}{scores}"
