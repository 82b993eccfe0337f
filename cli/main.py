"""The command ``fmcompress``: its commands, its errors and its exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from fmcompress.errors import BudgetError, FMCompressError
from fmcompress.version import __version__

from .demo import demo
from .evaluate import evaluate
from .quantize import quantize
from .report import report
from .score import score
from .state import State
from .train import train

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="fmcompress",
    help="Compress a trained factorization machine into one file of a given size.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, quantize, report, evaluate, score, demo):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fmcompress {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = State(quiet=quiet, debug=debug)


def run() -> None:
    """Run the command line; errors are one line on standard error, with a hint, and an exit code."""
    sys.exit(_run())


def _run() -> int:
    debug = "--debug" in sys.argv[1:]
    try:
        return int(app(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("interrupted: nothing was written", file=sys.stderr)
        return EXIT_INTERRUPTED
    except FMCompressError as error:
        if debug:
            raise
        hint = f" ({error.hint})" if error.hint else ""
        print(f"error: {one_line(str(error) + hint)}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, BudgetError) else EXIT_USAGE
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        return EXIT_FAILED
    except Exception as error:
        if debug:
            raise
        print(f"error: a bug in fmcompress: {one_line(repr(error))} (--debug shows where)", file=sys.stderr)
        return EXIT_BUG


def one_line(text: str) -> str:
    """Return a text without control characters and line breaks: they are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
