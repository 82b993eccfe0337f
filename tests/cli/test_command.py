"""Commands: values that need no reading are not read, and help stands under headings."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from fmcompress_cli.command import Command, is_configured
from typer.testing import CliRunner

seen = []


def command(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Which.")],
    kind: Annotated[Literal["a", "b"], typer.Option(help="Kind.")] = "a",
    output: Annotated[Path | None, typer.Option(help="Where.", rich_help_panel="Output")] = None,
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 2,
    text: Annotated[str | None, typer.Option(help="What.", callback=lambda value: value and value.upper())] = None,
) -> None:
    """Do it."""
    seen.append((files, kind, output, count, text, [name for name in context.params if is_configured(context, name)]))


app = typer.Typer(rich_markup_mode=None, add_completion=False)
app.command(cls=Command, epilog="do x\n    --kind b")(command)


@pytest.fixture(autouse=True)
def fresh():
    seen.clear()


def run(*args, **more):
    return CliRunner().invoke(app, args, **more)


def test_values_have_their_types():
    assert run("x", "y", "--kind", "b", "--output", "o", "--count", "3", "--text", "t").exit_code == 0
    assert seen == [([Path("x"), Path("y")], "b", Path("o"), 3, "T", [])]


def test_defaults_hold():
    assert run("x").exit_code == 0
    assert seen == [([Path("x")], "a", None, 2, None, [])]


@pytest.mark.parametrize("wrong", [["x", "--kind", "c"], ["x", "--count", "0"], ["x", "--count", "n"], []])
def test_wrong_and_missing_values_are_refused(wrong):
    assert run(*wrong).exit_code == 2
    assert seen == []


def test_what_has_its_value_from_configuration():
    assert run("x", "--count", "5", default_map={"kind": "b", "output": "o", "count": 4}).exit_code == 0
    assert seen == [([Path("x")], "b", Path("o"), 5, None, ["kind", "output"])]


def test_panels_and_examples_have_headings():
    shown = run("--help").output
    places = [shown.index(f"\n{heading}:\n") for heading in ("Arguments", "Options", "Output", "Examples")]
    assert places == sorted(places)
    assert shown.endswith("\nExamples:\n  do x\n      --kind b\n")


def test_texts_paths_and_choices_need_no_pydantic():
    code = (
        "import sys; from tests.cli.test_command import app\n"
        "app(['x', '--kind', 'b', '--output', 'o', '--text', 't'], standalone_mode=False)\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout == "False\n"
