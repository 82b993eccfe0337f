"""``fmcompress report``: where the bytes of an artifact are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .options import ForceOption

if TYPE_CHECKING:
    from fmcompress.reporting import Report


class ReportFormat(str, Enum):
    """How the report is shown."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"
    GITHUB = "github"


def report(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A file that quantize wrote.", show_default=False)
    ],
    format_: Annotated[
        ReportFormat,
        typer.Option(
            "--format",
            help="How to report: text has all fields, markdown the largest ones, html is a page with pictures, github "
            "an annotation.",
        ),
    ] = ReportFormat.TEXT,
    card: Annotated[
        bool, typer.Option("--card", help="Write a model card: a README with metadata, as model hubs take it.")
    ] = False,
    curve: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads these on Python 3.10 too
        typer.Option("--curve", metavar="FILE", help="JSON that sweep wrote, for a picture in html."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file. Default: standard output."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Show where the bytes of ARTIFACT are.

    The memory report: its parts, its fields, and the accounting of the paper.
    """
    from fmcompress.reporting import report as make_report

    _check(artifact, format_, card=card, curve=curve, output=output, force=force)
    text = _text(make_report(artifact), artifact.name, format_, card=card, curve=curve)
    if output is not None:
        _write(text, output, force=force)
    elif format_ is ReportFormat.HTML:
        print(_plain_enough(text), end="")
    else:
        print(text.rstrip("\n"))


def _check(
    artifact: Path, format_: ReportFormat, *, card: bool, curve: Path | None, output: Path | None, force: bool
) -> None:
    """Raise where options do not fit together, or the output cannot be written."""
    from fmcompress.errors import UsageError
    from fmcompress.files import check_apart, check_writable

    if card and format_ not in (ReportFormat.TEXT, ReportFormat.MARKDOWN):
        raise UsageError(f"a model card is Markdown, not {format_.value}", hint="leave out --card, or --format")
    if curve is not None and (card or format_ is not ReportFormat.HTML):
        raise UsageError("a curve is drawn in html alone", hint="add --format html")
    if output is not None:
        check_apart(output, [artifact, *([curve] if curve else [])])
        check_writable(output, force=force)


def _text(report: Report, name: str, format_: ReportFormat, *, card: bool, curve: Path | None) -> str:
    if card:
        return report.to_card(name=name)
    texts: dict[ReportFormat, Callable[[], str]] = {
        ReportFormat.TEXT: report.to_text,
        ReportFormat.JSON: report.to_json,
        ReportFormat.MARKDOWN: report.to_markdown,
        ReportFormat.HTML: partial(_html, report, name, curve),
        ReportFormat.GITHUB: partial(report.to_github, name=name),
    }
    return texts[format_]()


def _html(report: Report, name: str, curve: Path | None) -> str:
    if curve is None:
        return report.to_html(name=name)
    from fmcompress.reporting.curve_file import read_curve

    return report.to_html(name=name, curve=read_curve(curve))


def _write(text: str, path: Path, *, force: bool) -> None:
    from fmcompress.files import replacing

    with replacing(path, force=force) as file:
        file.write(f"{text.rstrip()}\n".encode(errors="backslashreplace"))


def _plain_enough(html: str) -> str:
    """Return a page in characters that standard output knows; HTML has names for all others."""
    encoding = sys.stdout.encoding or "utf-8"
    return html.encode(encoding, "xmlcharrefreplace").decode(encoding)
