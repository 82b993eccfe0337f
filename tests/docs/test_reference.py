"""The pages that are made from the code are what the code says."""

import subprocess

import pytest
import typer
from fmcompress_cli.main import app

import fmcompress as fc
from docs.reference.pages import made_pages
from docs.reference.python_api import python_reference
from tests.conftest import console_script
from tests.docs.pages import ROOT, name_of

pytestmark = pytest.mark.slow

COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("page", made_pages(), ids=name_of)
def test_made_pages_are_up_to_date(page):
    made = made_pages()[page]
    assert page.read_text(encoding="utf-8") == made, "make docs writes it anew"


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_stands_in_the_page_as_the_console_script_shows_it(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    argv = [console_script(), *command, "--help"]
    shown = subprocess.run(argv, capture_output=True, encoding="utf-8", check=True).stdout
    title = " ".join(["fmcompress", *command])
    assert f"## {title}\n\n```text\n{shown.rstrip()}\n```" in (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")


def test_a_public_name_without_a_place_is_told(monkeypatch):
    monkeypatch.setattr(fc, "__all__", [*fc.__all__, "novelty"])
    with pytest.raises(LookupError, match=r"GROUPS in docs\.reference\.python_api .* differ: novelty"):
        python_reference()


def test_the_reference_has_every_argument_and_every_error():
    text = python_reference()
    assert "    with_vocabulary: bool = False,\n" in text
    assert "- `BudgetError`: no artifact of this model fits the budget.\n" in text
    assert "XLightFM(space: SpaceOptions = SpaceOptions(), search: SearchOptions = SearchOptions())" in text
    assert "- `predict(ids, values=None, *, bags=None, threads=1)`: " in text
    assert "  - `smallest_bytes`: size of the smallest artifact" in text
