"""The verdict of the release gate as annotations: workflow commands of GitHub."""

from __future__ import annotations

from fmcompress.gates.verdict import Check, Verdict
from fmcompress.reporting.github import Level, workflow_command
from fmcompress.reporting.verdict import figures, summary

_LEVELS: dict[str, Level] = {"pass": "notice", "FAIL": "error", "not judged": "error"}


def to_github(verdict: Verdict) -> str:
    """Return a workflow command for each check, and a line for the log.

    That line holds no name: whatever stands in a line of a log could be taken for another command.
    """
    return "\n".join([*map(_command, verdict.checks), f"Release check: {summary(verdict)}"])


def _command(check: Check) -> str:
    return workflow_command(_LEVELS[check.outcome], f"{check.name}: {check.outcome}", _message(check))


def _message(check: Check) -> str:
    actual, limit = figures(check)
    if check.passed is None:
        return f"{check.artifact}: {check.reason}; the limit is {limit}"
    return f"{check.artifact}: {actual}, the limit is {limit}"
