"""Groups of options: typer sees each option, a command gets each group whole."""

import inspect
from dataclasses import dataclass
from typing import Annotated, ClassVar, get_args

import pytest
import typer
from fmcompress_cli.options import with_groups
from typer.testing import CliRunner


@dataclass(frozen=True)
class Paint:
    PANEL: ClassVar[str] = "Painting"
    colour: Annotated[str, typer.Option(help="Of the wall.")]
    coats: Annotated[int, typer.Option(min=1, help="How many.", rich_help_panel="Amount")] = 2


seen = []


@with_groups
def paint(
    *,
    wall: Annotated[str, typer.Argument(help="Which.")],
    dry: Annotated[bool, typer.Option("--dry", help="Only say.")] = False,
    paint: Paint,
    last: Annotated[str, typer.Option("--last", help="Comes last.")] = "x",
) -> None:
    """Paint a wall."""
    seen.append((wall, dry, paint, last))


@pytest.fixture
def run():
    app = typer.Typer(rich_markup_mode=None)
    app.command()(paint)
    seen.clear()
    return lambda *args: CliRunner().invoke(app, args)


def test_the_options_of_a_group_stand_in_its_place():
    assert list(inspect.signature(paint).parameters) == ["wall", "dry", "colour", "coats", "last"]
    assert paint.__doc__ == "Paint a wall."
    assert paint.__name__ == "paint"


def test_a_group_arrives_whole(run):
    assert run("south", "--colour", "red", "--coats", "3", "--last", "y").exit_code == 0
    assert seen == [("south", False, Paint("red", 3), "y")]


def test_defaults_of_a_group_hold(run):
    assert run("south", "--colour", "red", "--dry").exit_code == 0
    assert seen == [("south", True, Paint("red"), "x")]


@pytest.mark.parametrize("wrong", [("south",), ("south", "--colour", "red", "--coats", "0"), ("--colour", "red")])
def test_options_that_are_missing_or_wrong_are_refused(run, wrong):
    assert run(*wrong).exit_code == 2
    assert seen == []


def test_help_has_all_options_in_order(run):
    text = run("--help").output
    places = [text.index(name) for name in ("--dry", "--colour", "--coats", "--last")]
    assert places == sorted(places)


def test_options_stand_under_the_panel_of_their_group_unless_they_name_another():
    options = inspect.signature(paint).parameters.values()
    panels = {one.name: one.annotation.__metadata__[0].rich_help_panel for one in options}
    assert panels == {"wall": None, "dry": None, "colour": "Painting", "coats": "Amount", "last": None}


def test_the_command_line_offers_every_method():
    from fmcompress_cli.method_options import MethodName

    from fmcompress.methods.registry import METHODS

    assert get_args(MethodName) == tuple(method.name for method in METHODS)
