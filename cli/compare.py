"""``fmcompress compare``: what changed between two artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from .groups import with_groups
from .options import Format, FormatOption, RowsGroup, VocabOption, shown, vocabulary_of
from .state import progress_of


@with_groups
def compare(
    *,
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="An artifact.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    data: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads it on Python 3.10 too
        typer.Option("--data", metavar="DATA", help="File, folder or glob of labelled rows to score both on."),
    ] = None,
    vocab: VocabOption = None,
    reading: RowsGroup,
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show what changed from artifact OLD to artifact NEW.

    Part by part and field by field: bytes, fields that came, went, or are stored in another way, and quality.
    """
    from fmcompress.reporting.compare import compare as find_changes

    vocabulary = vocabulary_of(vocab)
    found = find_changes(old, new, data=data, vocabulary=vocabulary, progress=progress_of(context), **reading.given)
    print(shown(found, format_))
