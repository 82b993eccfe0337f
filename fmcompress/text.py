"""Text for people: whatever it holds, it shows as one line."""

import math
import re

_COMMANDS = re.compile(r"^(\s*):(?=:)|(#)#(?=\w*\[)")
"""What logs of build systems take for commands: ``::error::`` where a line begins, ``##[error]`` anywhere."""

_ELLIPSIS = "…"


def printable(text: str) -> str:
    """Return a text without control characters and line breaks: they are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shortened(text: str, most: int) -> str:
    """Return a text in at most so many printable characters: of a longer one its head and its tail."""
    shown = printable(text[: most + 1])
    if len(text) <= most and len(shown) <= most:
        return shown
    tail = most // 3
    return shown[: most - tail - len(_ELLIPSIS)] + _ELLIPSIS + printable(text[-tail:])[-tail:]


def inert(line: str) -> str:
    """Return a line of printable text that no build system's log takes for a command; it shows an escape instead."""
    return _COMMANDS.sub(lambda found: f"{found[2]}\\x23" if found[2] else f"{found[1]}\\x3a", line)


def with_error(shown: str, standard_error: float | None) -> str:
    """Return a figure with its standard error where that is known, ``0.82411 ± 0.00712``; None and NaN are not."""
    return shown if standard_error is None or math.isnan(standard_error) else f"{shown} ± {standard_error:.5f}"
