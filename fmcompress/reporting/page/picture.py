"""What all pictures are made of: SVG as wide as there is room, with text that is not scaled, and a title of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fmcompress.reporting.page.axis import Axis
from fmcompress.reporting.page.markup import Markup, element, joined, marked, percent
from fmcompress.sizes import short_size

_THINNEST_OUTLINED = 0.006


def picture(
    key: str, title: str, description: str, height: int, shapes: Iterable[Markup], *, plot: bool = False
) -> Markup:
    """Return a picture that says what it shows to those who cannot see it.

    Args:
        key: its name within the page.
        title: what it is.
        description: what it tells.
        height: in pixels.
        shapes: what is drawn.
        plot: whether it has axes, for whose numbers there is room at its left.
    """
    return element(
        "svg",
        element("title", title, id=f"{key}-title"),
        element("desc", description, id=f"{key}-desc"),
        *shapes,
        role="img",
        class_="plot" if plot else None,
        width="100%",
        height=height,
        aria_labelledby=f"{key}-title {key}-desc",
    )


@dataclass(frozen=True)
class Box:
    """Where a bar, or a part of one, lies.

    Attributes:
        start: where it begins, as a share of the width.
        share: its length, as a share of the width.
        y: its upper edge, in pixels.
        height: in pixels.
    """

    start: float
    share: float
    y: float
    height: float


def bar(kind: str, box: Box, title: str, value: float, key: str | None = None) -> Markup:
    """Return a bar, or a part of one, that shows a figure.

    Args:
        kind: what it is, for its colour.
        box: where it lies.
        title: what it says where the pointer rests.
        value: the figure.
        key: its place in the report's JSON; None where it is not there.
    """
    return element(
        "rect",
        element("title", title),
        x=percent(box.start),
        y=box.y,
        width=percent(box.share),
        height=box.height,
        class_=f"{kind} thin" if box.share < _THINNEST_OUTLINED else kind,
        **({} if key is None else marked(key, value)),
    )


def text(words: str, x: str, y: float, kind: str = "", *, end: bool = False) -> Markup:
    """Return words in a picture, which end at ``x`` or begin there."""
    return element("text", words, x=x, y=y, class_=f"{kind}{' end' if end else ''}".strip() or None)


def clipped(words: str, y: float, width: str) -> Markup:
    """Return words of a line of its own at the left, of which no more is shown than fits."""
    return element("svg", element("text", words, x=0, y=14, class_="name"), y=y, width=width, height=20)


def line(start: tuple[float, float], end: tuple[float, float], kind: str) -> Markup:
    """Return a line between two points: shares of the width, and pixels from above."""
    (x1, y1), (x2, y2) = start, end
    return element("line", x1=percent(x1), y1=round(y1, 2), x2=percent(x2), y2=round(y2, 2), class_=kind)


def down(axis: Axis, number: float, height: float) -> float:
    """Return where a number stands on an upright axis, in pixels from above."""
    return round((1 - axis.at(number)) * height, 2)


def size_ticks(axis: Axis, height: float) -> Markup:
    """Return the sizes below a plot, with lines across."""
    return joined(
        joined([line((axis.at(tick), 0), (axis.at(tick), height), "grid"), _below(tick, axis, height)])
        for tick in axis.ticks
    )


def number_ticks(axis: Axis, height: float, shown: Callable[[float], str]) -> Markup:
    """Return the numbers at the left of a plot, with lines across."""
    return joined(
        joined([_across(axis, tick, height), _beside(axis, tick, height, shown(tick))]) for tick in axis.ticks
    )


def _below(tick: float, axis: Axis, height: float) -> Markup:
    return text(short_size(tick), percent(axis.at(tick)), height + 18, "tick middle")


def _across(axis: Axis, tick: float, height: float) -> Markup:
    return line((0, down(axis, tick, height)), (1, down(axis, tick, height)), "grid")


def _beside(axis: Axis, tick: float, height: float, words: str) -> Markup:
    return text(words, "-8", down(axis, tick, height) + 4, "tick", end=True)
