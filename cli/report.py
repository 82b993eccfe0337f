"""``fmcompress report``: where the bytes of an artifact are."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import ForceOption

Format = Literal["text", "json", "markdown", "html", "github"]


def report(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A file that quantize wrote.", show_default=False)
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="How to report: text has all fields, markdown the largest ones, html is a page with pictures, github "
            "an annotation.",
        ),
    ] = "text",
    card: Annotated[
        bool, typer.Option("--card", help="Write a model card: a README with metadata, as model hubs take it.")
    ] = False,
    curve: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON that sweep wrote, for a picture in html.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write to this file. Default: standard output."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Show where the bytes of ARTIFACT are.

    The memory report: its parts, its fields, and the accounting of the paper.
    """
    _check(artifact, format_, card=card, curve=curve, output=output, force=force)
    text = _text(artifact, format_, card=card, curve=curve)
    if output is not None:
        _write(text, output, force=force)
    elif format_ == "html":
        print(_plain_enough(text), end="")
    else:
        print(text.rstrip("\n"))


def _check(
    artifact: Path, format_: Format, *, card: bool, curve: Path | None, output: Path | None, force: bool
) -> None:
    """Raise where options do not fit together, or the output cannot be written."""
    from fmcompress.errors import UsageError
    from fmcompress.files import check_apart, check_writable

    if card and format_ not in ("text", "markdown"):
        raise UsageError(f"a model card is Markdown, not {format_}", hint="leave out --card, or --format")
    if curve is not None and (card or format_ != "html"):
        raise UsageError("a curve is drawn in html alone", hint="add --format html")
    if output is not None:
        check_apart(output, [artifact, *([curve] if curve else [])])
        check_writable(output, force=force)


def _text(artifact: Path, format_: Format, *, card: bool, curve: Path | None) -> str:
    from fmcompress.reporting import report as make_report
    from fmcompress.reporting.curve import read_curve
    from fmcompress.reporting.sections import Options

    found = make_report(artifact)
    options = Options(name=artifact.name, curve=None if curve is None else read_curve(curve))
    return found.shown("card" if card else format_, options)


def _write(text: str, path: Path, *, force: bool) -> None:
    from fmcompress.files import replacing

    with replacing(path, force=force) as file:
        file.write(f"{text.rstrip()}\n".encode(errors="backslashreplace"))


def _plain_enough(html: str) -> str:
    """Return a page in characters that standard output knows; HTML has names for all others."""
    encoding = sys.stdout.encoding or "utf-8"
    return html.encode(encoding, "xmlcharrefreplace").decode(encoding)
