"""The command ``fmcompress``: its commands and the options before them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fmcompress.version import __version__

from .demo import demo
from .evaluate import evaluate
from .exits import EXIT_USAGE, exit_code_of
from .quantize import quantize
from .report import report
from .score import score
from .state import State
from .sweep import sweep
from .train import train

_ANYWHERE = ("--quiet", "-q", "--debug")

app = typer.Typer(
    name="fmcompress",
    help="Compress a trained factorization machine into one file of a given size.",
    epilog="--quiet and --debug may stand behind the command too. Exit codes: 0 fine; 1 the budget cannot be met; "
    "2 wrong usage or input; 70 a bug of fmcompress; 130 interrupted.",
    rich_markup_mode=None,  # plain help: it can be searched, and quoted in documents
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, quantize, sweep, report, evaluate, score, demo):
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
    """Run the command line; an error is one line on standard error, with a hint, and an exit code."""
    args = _common_first(sys.argv[1:])
    code = exit_code_of(lambda: app(args or ["--help"], standalone_mode=False), debug="--debug" in args[:3])
    sys.exit(code if args else EXIT_USAGE)


def _common_first(args: list[str]) -> list[str]:
    """Return the arguments with the options that may stand anywhere moved to the front."""
    end = args.index("--") if "--" in args else len(args)
    found = sorted({arg for arg in args[:end] if arg in _ANYWHERE})
    return [*found, *(arg for arg in args[:end] if arg not in _ANYWHERE), *args[end:]]
