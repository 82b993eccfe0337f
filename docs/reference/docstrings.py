"""Docstrings in Google's style, as Markdown."""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields):$", re.MULTILINE)
_TITLES = {"Args": "Arguments", "Attributes": "Attributes", "Raises": "Errors", "Returns": "Returns"}


def as_markdown(docstring: str) -> str:
    """Return a docstring as Markdown: its paragraphs, and a list for each of its sections.

    Args:
        docstring: as it stands in the code.
    """
    text, *sections = _SECTION.split(inspect.cleandoc(docstring))
    parts = [_prose(text)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        parts.append(f"{_TITLES[title]}:\n\n{_items(body)}")
    return "\n\n".join(parts)


def first_line(docstring: str | None) -> str:
    """Return the first line of a docstring, as Markdown."""
    return _prose(inspect.cleandoc(docstring or "").split("\n")[0])


def _items(body: str) -> str:
    """Return the entries of a section as a list; lines that are further in belong to the entry before."""
    entries = re.split(r"\n(?=\S)", inspect.cleandoc(body))
    named = (re.fullmatch(r"(\w+(?:, \w+)*): (.*)", _joined(entry), re.DOTALL) for entry in entries)
    return "\n".join(f"- `{found[1].replace(', ', '`, `')}`: {_prose(found[2])}" for found in named if found)


def _joined(entry: str) -> str:
    return " ".join(line.strip() for line in entry.splitlines())


def _prose(text: str) -> str:
    return text.strip().replace("``", "`")
