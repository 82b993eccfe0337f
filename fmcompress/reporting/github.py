"""Workflow commands of GitHub, which it shows as annotations of a run."""

from __future__ import annotations

from typing import Literal

from fmcompress.text import printable

Level = Literal["notice", "error"]

_IN_MESSAGES = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_IN_PROPERTIES = {**_IN_MESSAGES, ":": "%3A", ",": "%2C"}


def workflow_command(level: Level, title: str, message: str) -> str:
    """Return a command that shows a message under a title."""
    return f"::{level} title={_escaped(title, _IN_PROPERTIES)}::{_escaped(message, _IN_MESSAGES)}"


def _escaped(text: str, escapes: dict[str, str]) -> str:
    """Return a text that ends neither its property nor its command, whatever it holds."""
    return "".join(escapes.get(c, c) for c in printable(text))
