"""The page of results: tables and plots between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import tables
from grid import Study
from markdown import write_between
from plots import draw

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
    write_between(path, "examples/paper", f"{text}\n\n{pictures}")
    return text
