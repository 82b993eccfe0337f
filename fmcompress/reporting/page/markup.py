"""HTML and SVG as text, made so that no text can become markup."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from fmcompress.text import printable, shortened

_WITHOUT_END = {"meta", "link", "rect", "line", "circle", "path"}
_LONGEST_SHOWN, _LONGEST_TITLE = 60, 160
_NOTHING = "–"


class Markup(str):
    """Text that is markup already."""


def element(tag: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """Return an element; whatever is no markup is escaped, and control characters are shown as escapes.

    Args:
        tag: its name.
        children: markup, and text.
        attributes: its attributes; ``_`` stands for ``-``, one at the end is dropped, and those that are None are not
            there.
    """
    known = "".join(
        f' {_attribute(name)}="{_escaped(value)}"' for name, value in attributes.items() if value is not None
    )
    if tag in _WITHOUT_END:
        return Markup(f"<{tag}{known}/>")
    return Markup(f"<{tag}{known}>{joined(children)}</{tag}>")


def joined(children: Iterable[str]) -> Markup:
    """Return markup and text one after the other."""
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def figure(key: str, value: float | None, shown: str) -> Markup:
    """Return a figure as people see it, with its exact value and its place in the report's JSON."""
    return element("data", shown if _exact(value) else _NOTHING, value=_exact(value), data_key=key)


def marked(key: str, value: float | None) -> dict[str, str | float | None]:
    """Return the attributes of a shape that shows a figure."""
    return {"data_key": key, "data_value": _exact(value)}


def named(name: str) -> Markup:
    """Return the name of a field, cut short where it is a long one, and as a whole where the pointer rests."""
    shown = shortened(name, _LONGEST_SHOWN)
    return element("bdi", shown, title=None if shown == name else shortened(name, _LONGEST_TITLE))


def short_name(name: str) -> str:
    """Return a name for a picture."""
    return shortened(name, _LONGEST_SHOWN)


def percent(share: float) -> str:
    """Return a share as a length in SVG: pictures are as wide as there is room, their text is not scaled."""
    return f"{round(100 * share, 3):g}%"


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escaped(value: str | float) -> str:
    return escape(printable(value if isinstance(value, str) else f"{value:g}"))


def _exact(value: float | None) -> str:
    """Return all digits of a figure; nothing where JSON has null."""
    return "" if value is None or not math.isfinite(value) else repr(value)
