"""The verdict of the release gate as annotations: workflow commands of GitHub."""

from __future__ import annotations

from fmcompress.gates.verdict import Check, Verdict
from fmcompress.reporting.verdict import figures, summary
from fmcompress.text import printable

_LEVELS = {"pass": "notice", "FAIL": "error", "not judged": "error"}
_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = {**_IN_MESSAGES, ":": "%3A", ",": "%2C"}


def to_github(verdict: Verdict) -> str:
    """Return a workflow command for each check, and a line for the log.

    That line holds no name: whatever stands in a line of a log could be taken for another command.
    """
    return "\n".join([*map(_command, verdict.checks), f"Release check: {summary(verdict)}"])


def _command(check: Check) -> str:
    title = f"{check.name}: {check.outcome}"
    return f"::{_LEVELS[check.outcome]} title={_escaped(title, _IN_PROPERTIES)}::{_escaped(_message(check))}"


def _message(check: Check) -> str:
    actual, limit = figures(check)
    if check.passed is None:
        return f"{check.artifact}: {check.reason}; the limit is {limit}"
    return f"{check.artifact}: {actual}, the limit is {limit}"


def _escaped(text: str, escapes: dict[str, str] = _IN_MESSAGES) -> str:
    """Return a text that ends neither its property nor its command, whatever it holds."""
    return "".join(escapes.get(c, c) for c in printable(text))
