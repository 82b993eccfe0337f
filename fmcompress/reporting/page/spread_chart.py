"""The picture of how bytes and the expected rise of the loss spread over the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.page.axis import Axis, log_axis
from fmcompress.reporting.page.markup import Markup, element, marked, percent, short_name
from fmcompress.reporting.page.picture import down, line, number_ticks, picture, size_ticks, text
from fmcompress.reporting.report import Report

NUMBERED = 8
"""Fields that have numbers in the picture: those with the largest errors."""

_HEIGHT, _FLOOR = 260, 296
_RADIUS, _NUMBERED_RADIUS = 4, 9


def ranked(report: Report) -> list[tuple[int, FieldReport]]:
    """Return the fields that have bytes and a known error, with their places, in descending order of the error."""
    found = [(place, field) for place, field in enumerate(report.fields) if field.bytes and math.isfinite(field.error)]
    return sorted(found, key=lambda entry: -entry[1].error)


def spread_chart(report: Report) -> Markup | None:
    """Return the picture of bytes and errors; None where no field has an error."""
    found = ranked(report)
    positive = [field.error for _, field in found if field.error > 0]
    if not positive:
        return None
    sizes, errors = log_axis([field.bytes for _, field in found]), log_axis(positive)
    exact = len(positive) < len(found)
    shapes = [size_ticks(sizes, _FLOOR if exact else _HEIGHT), number_ticks(errors, _HEIGHT)]
    if exact:
        shapes += [line((0, _FLOOR), (1, _FLOOR), "grid"), text("none", "-8", _FLOOR + 4, "tick", end=True)]
    shapes += _dots(found, sizes, errors)
    height = (_FLOOR if exact else _HEIGHT) + 44
    shapes += [text("bytes in the file", "100%", height - 6, "tick", end=True)]
    told = "; ".join(
        f"{short_name(field.name)}: {field.bytes:,} bytes, {field.error:.1e}" for _, field in found[:NUMBERED]
    )
    return picture(
        "spread",
        "Bytes and expected rise of the loss, field by field",
        f"Largest errors: {told}.",
        height,
        shapes,
        plot=True,
    )


def _dots(found: Sequence[tuple[int, FieldReport]], sizes: Axis, errors: Axis) -> list[Markup]:
    """Return a dot for each field; those with numbers come last, and lie above the others."""
    dots = [
        _dot(place, field, number, sizes, errors) for number, (place, field) in enumerate(found, 1)
    ]  # fmt: skip
    return [shape for dot in reversed(dots) for shape in dot]


def _dot(place: int, field: FieldReport, number: int, sizes: Axis, errors: Axis) -> Iterator[Markup]:
    x, y = percent(sizes.at(field.bytes)), _FLOOR if field.error <= 0 else down(errors, field.error, _HEIGHT)
    numbered = number <= NUMBERED and field.error > 0
    title = element("title", f"{short_name(field.name)}: {field.bytes:,} bytes, error {field.error:.1e}")
    yield element(
        "circle",
        title,
        cx=x,
        cy=y,
        r=_NUMBERED_RADIUS if numbered else _RADIUS,
        class_="dot numbered" if numbered else "dot",
        **marked(f"fields.{place}.error", field.error),
    )
    if numbered:
        yield text(str(number), x, y + 4, "in-dot middle")
