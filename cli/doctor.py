"""``fmcompress doctor``: what is installed, what is in force, and what stands in the way."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fmcompress.errors import UsageError
from fmcompress.text import printable

from .command import configuration_of
from .config import Configuration
from .exits import EXIT_FAILED

if TYPE_CHECKING:
    from fmcompress.diagnosis import Finding


def doctor(
    context: typer.Context,
    format_: Annotated[Literal["text", "json"], typer.Option("--format", help="How to report, to standard output.")] = (
        "text"
    ),
) -> None:
    """Look for trouble: native core, packages, GPU, options.

    The report names no files but those in question, and can be pasted into an issue. Nothing is sent anywhere.
    Exit code 1 says that a command cannot work.
    """
    from dataclasses import replace

    from fmcompress.diagnosis import diagnose, home_as_tilde, worst

    found = [
        replace(one, text=home_as_tilde(one.text), hint=one.hint and home_as_tilde(one.hint))
        for one in (*diagnose(), terminal(getattr(sys.stdout, "encoding", None)), *_configuration(context))
    ]
    print(to_json(found) if format_ == "json" else to_text(found))
    if worst(found) == "problem":
        raise typer.Exit(EXIT_FAILED)


def to_text(findings: list[Finding]) -> str:
    """Return findings as lines of text; what to do about one stands below it."""
    names = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        start = f"{finding.status.ljust(7)}  {finding.name.ljust(names)}  "
        lines.append(start + printable(finding.text))
        if finding.hint:
            lines.append(" " * len(start) + printable(finding.hint))
    counts = Counter(finding.status for finding in findings)
    return "\n".join([*lines, "", f"problems: {counts['problem']}, warnings: {counts['warning']}"])


def to_json(findings: list[Finding]) -> str:
    """Return findings as JSON, two spaces a level."""
    import json
    from dataclasses import asdict

    from fmcompress.diagnosis import worst

    found = {"status": worst(findings), "findings": [asdict(finding) for finding in findings]}
    return json.dumps(found, indent=2, ensure_ascii=False)


def terminal(encoding: str | None) -> Finding:
    """Return whether standard output can show all names."""
    from fmcompress.diagnosis import Finding

    name = (encoding or "unknown").lower()
    if name.replace("-", "") == "utf8":
        return Finding("output", name)
    return Finding("output", f"{name}: other letters show as escapes", "warning", "set PYTHONUTF8=1")


def _configuration(context: typer.Context) -> Iterator[Finding]:
    from fmcompress.diagnosis import Finding

    try:
        found = configuration_of(context.parent)
    except UsageError as error:
        yield Finding("configuration", f"{error}; no command but this one works", "problem", error.hint)
        return
    yield Finding("configuration", str(found.file) if found.file else "no file")
    for line in _settings(found):
        yield Finding("configuration", line)


def _settings(found: Configuration) -> Iterator[str]:
    """Yield what is set, each with its commands and where it stands."""
    if found.quiet:
        yield str(found.quiet)
    commands: dict[str, list[str]] = {}
    for command, settings in found.commands.items():
        for setting in settings.values():
            commands.setdefault(str(setting), []).append(command)
    for line, names in commands.items():
        yield f"{line}, for {', '.join(names)}"
