"""What the options before the command set."""

from __future__ import annotations

from dataclasses import dataclass

import typer

from fmcompress.progress import Progress

from .progress import make_progress


@dataclass
class State:
    """Options of all commands.

    Attributes:
        quiet: whether progress is kept silent.
        debug: whether errors show where they come from.
    """

    quiet: bool = False
    debug: bool = False


def progress_of(context: typer.Context) -> Progress:
    """Return where a command tells of its progress; however it ends, the terminal is put in order."""
    state = context.find_object(State)
    progress, close = make_progress(quiet=bool(state and state.quiet))
    context.call_on_close(close)
    return progress
