"""The size-quality curve as pictures: one for each score."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise

from fmcompress.reporting.curve import Curve, CurvePanel, CurvePoint
from fmcompress.reporting.page.axis import Axis, linear_axis, log_axis, tick_text
from fmcompress.reporting.page.markup import Markup, element, joined, percent, short_name
from fmcompress.reporting.page.picture import down, line, number_ticks, picture, size_ticks, text

_HEIGHT = 240
_MARKS = ("M-4-4H4V4H-4Z", "M0-5L5 4H-5Z", "M0-5.5L5.5 0L0 5.5L-5.5 0Z", "M0 5L5-4H-5Z", "M-5-2H5V2H-5Z")
_ROUND = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0"
_KINDS = 10
"""Colours of makers; what comes after begins with the first baseline's colour again."""


def curve_charts(curve: Curve, file_bytes: int) -> list[Markup]:
    """Return a picture for each score; the size of the artifact stands across.

    Args:
        curve: sizes and quality of the same model.
        file_bytes: size of the artifact.
    """
    lines = curve.lines()
    return [_chart(number, panel, lines, file_bytes) for number, panel in enumerate(curve.panels()) if lines]


def legend(curve: Curve) -> Markup:
    """Return what the marks stand for."""
    marks = [
        element("li", element("svg", _mark(number, "8", 8), width=16, height=16, aria_hidden="true"), short_name(name))
        for number, name in enumerate(curve.lines())
    ]
    dotted = element("svg", line((0, 8), (1, 8), "source"), width=16, height=16, aria_hidden="true")
    return element("ul", *marks, element("li", dotted, "the checkpoint"), class_="legend")


def _chart(number: int, panel: CurvePanel, lines: Mapping[str, Sequence[CurvePoint]], file_bytes: int) -> Markup:
    points = [point for own in lines.values() for point in own]
    scores = [score for point in points if (score := panel.of(point)) is not None and _known(score)]
    sizes = log_axis([*(point.file_bytes or 1 for point in points), file_bytes])
    heights = linear_axis([*scores, panel.source])
    shapes = [size_ticks(sizes, _HEIGHT), number_ticks(heights, _HEIGHT, partial(tick_text, heights))]
    across = down(heights, panel.source, _HEIGHT)
    shapes += [line((0, across), (1, across), "source")]
    shapes += [line((sizes.at(file_bytes), 0), (sizes.at(file_bytes), _HEIGHT), "here")]
    shapes += [text("this file", percent(sizes.at(file_bytes)), -6, "tick middle")]
    for place, own in enumerate(lines.values()):
        shapes += _line(place, [point for point in own if _known(panel.of(point))], panel, sizes, heights)
    told = "; ".join(f"{name}: {_told(own, panel)}" for name, own in lines.items())
    description = f"The checkpoint: {panel.source:.5f}. {told}."
    title = element("p", panel.label, class_="panel-title", aria_hidden="true")
    return joined([title, picture(f"curve-{number}", panel.label, description, _HEIGHT + 30, shapes, plot=True)])


def _line(place: int, points: Sequence[CurvePoint], panel: CurvePanel, sizes: Axis, heights: Axis) -> Iterator[Markup]:
    where = [(sizes.at(p.file_bytes or 1), down(heights, panel.of(p) or 0.0, _HEIGHT)) for p in points]
    for start, end in pairwise(where):
        yield line(start, end, f"curve {_kind(place)}")
    for (x, y), point in zip(where, points, strict=True):
        title = f"{short_name(point.name)}: {point.file_bytes:,} bytes, {panel.label} {panel.of(point):.5f}"
        yield _mark(place, percent(x), y, element("title", title), data_value=repr(panel.of(point)))


def _mark(place: int, x: str, y: float, *inside: Markup, data_value: str | None = None) -> Markup:
    shape = _ROUND if place == 0 else _MARKS[(place - 1) % len(_MARKS)]
    mark = element("path", d=shape, class_=f"mark {_kind(place)}")
    return element(
        "svg",
        *inside,
        mark,
        x=x,
        y=y,
        overflow="visible",
        class_="point" if data_value else None,
        data_value=data_value,
    )


def _kind(place: int) -> str:
    return f"k{place if place < _KINDS else 1 + (place - 1) % (_KINDS - 1)}"


def _told(points: Sequence[CurvePoint], panel: CurvePanel) -> str:
    known = [(point, panel.of(point)) for point in points]
    return ", ".join(f"{point.file_bytes:,} bytes {score:.5f}" for point, score in known if _known(score))


def _known(score: float | None) -> bool:
    return score is not None and math.isfinite(score)
