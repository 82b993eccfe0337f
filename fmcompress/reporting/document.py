"""What results are made of when people or machines read them: tables and paragraphs, JSON, commands of GitHub."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fmcompress.text import inert, printable, shortened

NOTHING = "–"
"""What stands where there is no figure."""

Kind = Literal["report", "tables", "compare", "evaluate", "check", "inspect", "sweep"]
"""The commands whose JSON has a schema: ``docs/report.schema.json`` and its siblings."""

VERSION = 1
"""Of all schemas. A key that is taken away or changes its meaning makes a new one; keys that are added do not."""

Level = Literal["notice", "warning", "error"]

_WIDEST = 60
_LONGEST_MARKDOWN = 200
_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = {**_IN_MESSAGES, ":": "%3A", ",": "%2C"}


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        head: titles of the columns; where all are empty, plain text leaves them out.
        rows: the cells, row by row.
        left: how many of the first columns are texts; the others are numbers and stand at the right.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1

    def plain(self) -> str:
        """Return the table with no cell cut short; a very wide one pushes its line out of the columns."""
        lines = [[printable(cell) for cell in row] for row in (self.head, *self.rows)]
        widths = [min(_WIDEST, max(len(line[column]) for line in lines)) for column in range(len(self.head))]
        head, *rows = (
            "  ".join(
                cell.ljust(width) if column < self.left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )
        titles = [head, "  ".join("-" * width for width in widths)] if head else []
        return "\n".join(map(inert, [*titles, *rows]))

    def markdown(self) -> str:
        """Return the table with cells that show as they are, whatever they hold, but no novels."""
        rule = ["---" if column < self.left else "---:" for column in range(len(self.head))]
        head, *rows = (
            [markdown_text(shortened(cell, _LONGEST_MARKDOWN)) for cell in row] for row in (self.head, *self.rows)
        )
        return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


@dataclass(frozen=True)
class Paragraph:
    """A sentence, or a list of them.

    Attributes:
        lines: what it says, line by line.
        bullet: what stands before each line in Markdown.
    """

    lines: Sequence[str]
    bullet: str = ""

    def plain(self) -> str:
        """Return the lines one below the other."""
        return "\n".join(inert(printable(line)) for line in self.lines)

    def markdown(self) -> str:
        """Return the lines with their bullets."""
        return "\n".join(f"{self.bullet}{markdown_text(line)}" for line in self.lines)


Block = Table | Paragraph
"""A part of a document."""


def facts_table(pairs: Sequence[tuple[str, str]]) -> Table:
    """Return a table of names and what there is to say of them, without titles."""
    return Table(("", ""), pairs, left=2)


def plain_document(blocks: Iterable[Block]) -> str:
    """Return blocks as plain text, an empty line between them."""
    return "\n\n".join(filter(None, (block.plain() for block in blocks)))


def markdown_document(blocks: Iterable[Block], title: str = "") -> str:
    """Return blocks as Markdown, under a heading if there is a title."""
    heading = f"## {title}" if title else ""
    return "\n\n".join(filter(None, (heading, *(block.markdown() for block in blocks))))


def markdown_text(text: str) -> str:
    """Return a text as Markdown that shows it as it is, on one line, whatever it holds."""
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = "".join(f"\\{c}" if c in r"\`*_[]|~#$" else c for c in text)
    return text.replace("://", ":&#47;/").replace("www.", "www&#46;")  # GitHub makes links of what looks like one


def json_document(kind: Kind, found: Mapping[str, Any]) -> str:
    """Return plain data as JSON, two spaces a level, with its schema's name; figures that do not exist are null."""
    document = {"schema": f"fmcompress/{kind}/{VERSION}", **found}
    return json.dumps(_without_nan(document), indent=2, ensure_ascii=False)


def workflow_command(level: Level, title: str, message: str) -> str:
    """Return a command of GitHub that shows a message under a title, as an annotation of a run."""
    return f"::{level} title={_escaped(title, _IN_PROPERTIES)}::{_escaped(message, _IN_MESSAGES)}"


def _without_nan(value: Any) -> Any:
    """Return plain data with None in place of NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str, escapes: dict[str, str]) -> str:
    """Return a text that ends neither its property nor its command, whatever it holds."""
    return "".join(escapes.get(c, c) for c in printable(text))
