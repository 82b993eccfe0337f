"""What the options before the command set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fmcompress.progress import Progress

from .progress import make_progress

if TYPE_CHECKING:
    from .config import Setting


@dataclass
class State:
    """Options of all commands.

    Attributes:
        quiet: whether progress is kept silent.
        debug: whether errors show where they come from.
        config: file of configuration, in place of the nearest one, or None.
        no_config: whether no file of configuration is read.
        settings: what configuration says for the command that runs, by parameter.
    """

    quiet: bool = False
    debug: bool = False
    config: Path | None = None
    no_config: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)


def is_configured(context: typer.Context, parameter: str) -> bool:
    """Return whether an option has its value from configuration, not from the command line."""
    source = context.get_parameter_source(parameter)
    return source is not None and source.name == "DEFAULT_MAP"


def progress_of(context: typer.Context) -> Progress:
    """Return where a command tells of its progress; however it ends, the terminal is put in order."""
    state = context.find_object(State)
    progress, close = make_progress(quiet=bool(state and state.quiet))
    context.call_on_close(close)
    return progress
