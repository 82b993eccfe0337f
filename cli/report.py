"""``fmcompress report``: where the bytes of an artifact are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Format, FormatOption


def report(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="A file that quantize wrote.", show_default=False)
    ],
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show where the bytes of ARTIFACT are.

    The memory report: its parts, its fields, and the accounting of the paper.
    """
    from fmcompress.reporting import report as make_report

    found = make_report(artifact)
    text = {Format.TEXT: found.to_text, Format.JSON: found.to_json, Format.MARKDOWN: found.to_markdown}[format_]()
    print(text.rstrip("\n"))
