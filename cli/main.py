"""The command ``fmcompress``: its commands and the options before them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from fmcompress.version import __version__

from .check import check
from .command import Command, ConfiguredCommand
from .compare import compare
from .config import CONFIG_VARIABLE
from .demo import demo
from .doctor import doctor
from .evaluate import evaluate
from .exits import EXIT_USAGE, exit_code_of
from .inspect import inspect
from .plain_values import Group
from .quantize import quantize
from .report import report
from .score import score
from .state import State
from .sweep import sweep
from .train import train

_ANYWHERE = ("--quiet", "-q", "--debug", "--no-config")
_ANYWHERE_WITH_VALUE = "--config"

app = typer.Typer(
    name="fmcompress",
    cls=Group,
    help="Compress a trained factorization machine into one file of a given size.",
    epilog="The options above may stand behind the command too. Exit codes: 0 fine; 1 a gate failed, or the budget "
    "cannot be met; 2 wrong usage, configuration or input; 70 a bug of fmcompress; 130 interrupted.",
    rich_markup_mode=None,  # plain help: it can be searched, and quoted in documents
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, inspect, quantize, sweep, report, compare, evaluate, check, score, demo):
    app.command(cls=ConfiguredCommand)(command)
app.command(cls=Command)(doctor)  # it tells of configuration, and must not stumble over it


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fmcompress {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error comes from, and which configuration is in force.")
    ] = False,
    config: Annotated[
        Optional[Path],  # noqa: UP045 -- typer reads it on Python 3.10 too
        typer.Option(
            "--config",
            metavar="FILE",
            envvar=CONFIG_VARIABLE,
            show_envvar=False,
            help="Read this file of configuration, not the nearest fmcompress.toml or pyproject.toml.",
        ),
    ] = None,
    no_config: Annotated[bool, typer.Option("--no-config", help="Read no file of configuration.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = State(quiet=quiet, debug=debug, config=config, no_config=no_config)


def run() -> None:
    """Run the command line; an error is one line on standard error, with a hint, and an exit code."""
    anywhere, rest = _split(sys.argv[1:])
    args = [*anywhere, *rest]
    code = exit_code_of(lambda: app(args or ["--help"], standalone_mode=False), debug="--debug" in anywhere)
    sys.exit(code if args else EXIT_USAGE)


def _split(args: list[str]) -> tuple[list[str], list[str]]:
    """Return the options that may stand anywhere, with their values, and all the rest."""
    anywhere: list[str] = []
    rest: list[str] = []
    left = iter(args)
    for arg in left:
        if arg == "--":
            return anywhere, [*rest, arg, *left]
        if arg == _ANYWHERE_WITH_VALUE:
            value = next(left, None)
            if value is None:
                return [*anywhere, arg], []  # typer says that it lacks its value
            anywhere += [arg, value]
        else:
            (anywhere if arg in _ANYWHERE or arg.startswith(f"{_ANYWHERE_WITH_VALUE}=") else rest).append(arg)
    return anywhere, rest
