"""Text for people: whatever it holds, it shows as one line."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text without control characters and line breaks: they are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
