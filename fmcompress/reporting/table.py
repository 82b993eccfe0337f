"""Small tables as plain text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fmcompress.text import inert, printable, shortened

_WIDEST = 60
_LONGEST_MARKDOWN = 200


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        head: titles of the columns.
        rows: the cells, row by row.
        left: how many of the first columns are texts; the others are numbers and stand at the right.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


def plain_table(table: Table) -> str:
    """Return the table as plain text, with no cell cut short; a very wide one pushes its line out of the columns."""
    lines = [[printable(cell) for cell in row] for row in (table.head, *table.rows)]
    widths = [min(_WIDEST, max(len(line[column]) for line in lines)) for column in range(len(table.head))]
    aligned = [
        "  ".join(
            cell.ljust(width) if column < table.left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join(map(inert, [aligned[0], "  ".join("-" * width for width in widths), *aligned[1:]]))


def markdown_table(table: Table) -> str:
    """Return the table as GitHub-flavoured Markdown; cells show as they are, whatever they hold, but no novels."""
    rule = ["---" if column < table.left else "---:" for column in range(len(table.head))]
    rows = [[markdown_text(shortened(cell, _LONGEST_MARKDOWN)) for cell in row] for row in (table.head, *table.rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def markdown_text(text: str) -> str:
    """Return a text as Markdown that shows it as it is, on one line, whatever it holds."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = "".join(f"\\{c}" if c in r"\`*_[]|~#$" else c for c in text)
    return text.replace("://", ":&#47;/").replace("www.", "www&#46;")  # GitHub makes links of what looks like one
