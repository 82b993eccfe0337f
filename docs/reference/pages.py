"""Which pages are made from the code, and what they must hold."""

from __future__ import annotations

from pathlib import Path

from docs.reference.command_line import command_line_page
from docs.reference.python_api import python_reference

DOCS = Path(__file__).parent.parent
BEGIN, END = "<!-- begin: make docs -->", "<!-- end: make docs -->"


def made_pages() -> dict[Path, str]:
    """Return the text of each page: one is made whole, of the other the part between its markers."""
    python = DOCS / "python.md"
    before, rest = python.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    return {
        DOCS / "cli.md": command_line_page(),
        python: f"{before}{BEGIN}\n{python_reference()}\n{END}{after}",
    }
