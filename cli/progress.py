"""Progress on standard error: bars on a terminal, one plain line per step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from fmcompress.processes.world import this_process
from fmcompress.progress import Progress
from fmcompress.text import printable

from .exits import tell
from .options import GlobalOptions

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bars


class MuteProgress(Progress):
    """Nothing at all: of several processes another one tells."""

    def warn(self, message: str) -> None:
        """Say nothing."""


class QuietProgress(Progress):
    """Warnings alone."""

    def warn(self, message: str) -> None:
        """Print the warning."""
        tell(f"warning: {message}")


class PlainProgress(QuietProgress):
    """One line per finished step."""

    def note(self, message: str) -> None:
        """Print the line."""
        print(message, file=sys.stderr, flush=True)


class BarProgress(Progress):
    """Bars that vanish when they are done, with figures on a line below, and lines that stay."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False, markup=False)
        self._bars = _make_bars(self._console)

    def note(self, message: str) -> None:
        """Print the line above the bar."""
        self._console.print(message, soft_wrap=True)

    def warn(self, message: str) -> None:
        """Print the warning above the bar."""
        self.note(f"warning: {printable(message)}")

    def start(self, what: str, total: int) -> None:
        """Show a bar."""
        self._bars.start()
        self._task = self._bars.add_task(what, total=total, figures="")

    def advance(self, steps: int = 1, figures: str = "") -> None:
        """Move the bar on."""
        self._bars.update(self._task, advance=steps, figures=figures)

    def finish(self) -> None:
        """Take the bar away."""
        self._bars.remove_task(self._task)
        self._bars.stop()

    def close(self) -> None:
        """Take away a bar that an error or Ctrl-C left, and show the cursor again."""
        self._bars.stop()


def _make_bars(console: Console) -> Bars:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class BarsWithFigures(Bars):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            for task in self.tasks:
                if task.fields["figures"]:
                    yield Text(f"  {task.fields['figures']}", no_wrap=True, overflow="ellipsis")

    return BarsWithFigures(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def progress_of(context: typer.Context) -> Progress:
    """Return where a command tells of its progress: in bars, in plain lines, or nowhere but for warnings.

    However the command ends, the terminal is put in order.
    """
    if not this_process().first:
        return MuteProgress()
    given = context.find_object(GlobalOptions)
    if (given and given.quiet) or sys.stderr is None:
        return QuietProgress()
    if not sys.stderr.isatty():
        return PlainProgress()
    bars = BarProgress()
    context.call_on_close(bars.close)
    return bars
