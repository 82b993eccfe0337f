"""Tables of results, in Markdown, and pages that hold them between two markers."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = Sequence[str]


def markdown(head: Row, rows: Iterable[Row], *, names: int = 2) -> str:
    """Return a table; all columns but the first ones, which hold names, are of numbers."""
    lines = [head, ["---"] * names + ["---:"] * (len(head) - names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def with_deviation(values: Sequence[float], form: str) -> str:
    """Return the mean of the seeds, with their standard deviation where there are several."""
    spread = f" ± {statistics.stdev(values):.5f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}".replace("-", "−")


def write_between(path: Path, name: str, text: str) -> None:
    """Put a text between the markers of a page; they are added where the page has none.

    Args:
        path: the page.
        name: what the markers say.
        text: what stands between them.
    """
    begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
    old = path.read_text() if path.exists() else ""
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n".lstrip()
    before, rest = old.split(begin, 1)
    path.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}")
