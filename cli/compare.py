"""``fmcompress compare``: what changed between two artifacts."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import FormatOption, RowsGroup, VocabOption, shown, vocabulary_of, with_groups
from .progress import progress_of


@with_groups
def compare(
    *,
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="An artifact.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="File, folder, glob or URI of labelled rows to score both on.")
    ] = None,
    vocab: VocabOption = None,
    reading: RowsGroup,
    format_: FormatOption = "text",
) -> None:
    """Show what changed from artifact OLD to artifact NEW.

    Part by part and field by field: bytes, fields that came, went, or are stored in another way, and quality.
    """
    from fmcompress.reporting.compare import compare as find_changes

    vocabulary = vocabulary_of(vocab)
    found = find_changes(old, new, data=data, vocabulary=vocabulary, progress=progress_of(context), **asdict(reading))
    print(shown(found, format_))
