"""The page of results: tables and plots between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tables
from grid import Study
from plots import draw

BEGIN, END = "<!-- begin: examples/paper -->", "<!-- end: examples/paper -->"

_PARTS = (
    ("Table 1: data", tables.table_1),
    ("Table 2: all systems", tables.table_2),
    ("LightFM and `auto` against the baselines", tables.ahead),
    ("xLightFM against LightFM", tables.searched),
    ("Table 3: networks", tables.table_3),
    ("Figure 4: sizes of codebooks", tables.figure_4),
    ("Figure 5: the three losses", tables.figure_5),
    ("Figure 6: time", tables.figure_6),
)


def write_page(studies: Sequence[Study], path: Path) -> str:
    """Put all tables, and links to the plots, between the markers of a page, and return them."""
    text = "\n\n".join(f"### {title}\n\n{table(studies)}" for title, table in _PARTS)
    pictures = "\n\n".join(f"![{Path(name).stem}]({name})" for name in draw(studies, path.parent / "figures"))
    write_between(path, f"{text}\n\n{pictures}")
    return text


def write_between(path: Path, text: str) -> None:
    """Put a text between the markers of a page; they are added where the page has none."""
    old = path.read_text() if path.exists() else ""
    if BEGIN not in old:
        old = f"{old.rstrip()}\n\n{BEGIN}\n{END}\n".lstrip()
    before, rest = old.split(BEGIN, 1)
    path.write_text(f"{before}{BEGIN}\n{text.strip()}\n{END}{rest.split(END, 1)[1]}")
