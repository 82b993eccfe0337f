"""``fmcompress compare``: what changed between two artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from .options import (
    FirstIndexOption,
    Format,
    FormatOption,
    LabelOption,
    Match,
    MatchOption,
    Oov,
    OovOption,
    VocabOption,
)
from .state import progress_of

if TYPE_CHECKING:
    from fmcompress.fm.vocabulary import Vocabulary


def compare(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="An artifact.", show_default=False)],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Another one.", show_default=False)],
    data: Annotated[
        Optional[str],  # noqa: UP045 -- typer reads it on Python 3.10 too
        typer.Option("--data", metavar="DATA", help="File, folder or glob of labelled rows to score both on."),
    ] = None,
    vocab: VocabOption = None,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    first_index: FirstIndexOption = 0,
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show what changed from artifact OLD to artifact NEW.

    Part by part and field by field: bytes, fields that came, went, or are stored in another way, and quality.
    """
    from fmcompress.reporting.compare import compare as find_changes

    found = find_changes(
        old,
        new,
        data=data,
        label=label,
        match=match.value,
        oov=oov.value,
        first_index=first_index,
        vocabulary=_vocabulary(vocab),
        progress=progress_of(context),
    )
    text = {Format.TEXT: found.to_text, Format.JSON: found.to_json, Format.MARKDOWN: found.to_markdown}[format_]()
    print(text.rstrip("\n"))


def _vocabulary(vocab: Path | None) -> Vocabulary | None:
    if vocab is None:
        return None
    from fmcompress.fm.vocabulary import read_vocabulary

    return read_vocabulary(vocab)
