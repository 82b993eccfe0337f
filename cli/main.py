"""The command ``fmcompress``: its commands and the options before them."""

import sys
from typing import Annotated

import typer

from fmcompress.version import __version__

from .check import check
from .command import Command, ConfiguredCommand, Group
from .compare import compare
from .demo import demo
from .doctor import doctor
from .exits import EXIT_USAGE, exit_code_of
from .export import export
from .inspect import inspect
from .options import GlobalOptions, with_groups
from .processes import check_together, leave, only_first
from .quantize import quantize
from .report import report
from .scoring import evaluate, score
from .sweep import sweep
from .train import train

_ANYWHERE = ("--quiet", "-q", "--debug", "--no-config")
_ANYWHERE_WITH_VALUE = "--config"

EXAMPLES = {
    "train": (
        "fmcompress train train.parquet -o fm.pt",
        "fmcompress train train.parquet --valid valid.parquet -o fm.pt --dim 16",
    ),
    "inspect": ("fmcompress inspect fm.pt", "fmcompress inspect model.pt --fields user:6040,item:3706 --format json"),
    "quantize": (
        "fmcompress quantize fm.pt --budget 10MB",
        "fmcompress quantize fm.pt --budget 10MB --dry-run",
        "fmcompress quantize fm.pt --budget 10MB -o artifact.safetensors \\",
        "    --train train.parquet --valid valid.parquet",
        "fmcompress quantize --tables towers.pt --budget 10MB",
    ),
    "sweep": (
        "fmcompress sweep fm.pt --budgets 10x,20x,40x --data test.parquet",
        "fmcompress sweep fm.pt --budgets 100KB,1MB --data test.parquet --plot a.svg",
    ),
    "report": (
        "fmcompress report artifact.safetensors",
        "fmcompress report artifact.safetensors --format html -o report.html",
        "fmcompress report artifact.safetensors --card -o README.md",
    ),
    "compare": (
        "fmcompress compare old.safetensors new.safetensors",
        "fmcompress compare old.safetensors new.safetensors --data test.parquet",
    ),
    "evaluate": ("fmcompress evaluate fm.pt artifact.safetensors --data test.parquet",),
    "check": (
        "fmcompress check artifact.safetensors --max-size 10MB",
        "fmcompress check artifact.safetensors --max-size 10MB --data test.parquet \\",
        "    --baseline fm.pt --max-auc-drop 0.001",
    ),
    "score": ("fmcompress score artifact.safetensors rows.parquet -o scores.parquet",),
    "export": (
        "fmcompress export artifact.safetensors -o model.onnx",
        "fmcompress export artifact.safetensors --tokens -o model.onnx",
    ),
    "demo": ("fmcompress demo", "fmcompress demo --folder demo"),
    "doctor": ("fmcompress doctor",),
}

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
for command in (train, inspect, quantize, sweep, report, compare, evaluate, check, score, export, demo):
    app.command(cls=ConfiguredCommand, epilog="\n".join(EXAMPLES[command.__name__]))(command)
app.command(cls=Command, epilog="\n".join(EXAMPLES["doctor"]))(doctor)  # it must not stumble over configuration


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fmcompress {__version__}")
        raise typer.Exit


@app.callback()
@with_groups
def _options(
    *,
    context: typer.Context,
    given: GlobalOptions,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = (
        False
    ),
) -> None:
    context.obj = given
    check_together(context.invoked_subcommand)


def run() -> None:
    """Run the command line; an error is one line on standard error, with a hint, and an exit code."""
    anywhere, rest = _split(sys.argv[1:])
    args = [*anywhere, *rest]
    code = exit_code_of(
        lambda: app(args or ["--help"], standalone_mode=False), debug="--debug" in anywhere, heard=only_first
    )
    leave(code if args else EXIT_USAGE)


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
