"""The picture of how bytes and the expected rise of the loss spread over the fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.page.axis import Axis, linear_axis, log_axis
from fmcompress.reporting.page.markup import Markup, element, marked, percent, short_name
from fmcompress.reporting.page.picture import down, line, number_ticks, picture, size_ticks, text
from fmcompress.reporting.report import Report

NUMBERED = 8
"""Fields that have numbers in the picture: those with the largest errors."""

_HEIGHT = 260
_BELOW = 36
_RADIUS, _NUMBERED_RADIUS = 4, 9


def ranked(report: Report) -> list[tuple[int, FieldReport]]:
    """Return the fields that have bytes and a known error, with their places, by the size of the error."""
    found = [(place, field) for place, field in enumerate(report.fields) if field.bytes and math.isfinite(field.error)]
    return sorted(found, key=lambda entry: -abs(entry[1].error))


def spread_chart(report: Report) -> Markup | None:
    """Return the picture of bytes and errors; None where no field has an error."""
    found = ranked(report)
    errors = [field.error for _, field in found if field.error]
    if not errors:
        return None
    sizes, axis = log_axis([field.bytes for _, field in found]), _error_axis(errors)
    exact = axis.log and len(errors) < len(found)
    floor = _HEIGHT + _BELOW if exact else _HEIGHT
    shapes = [size_ticks(sizes, floor), number_ticks(axis, _HEIGHT, _error)]
    if exact:
        shapes += [line((0, floor), (1, floor), "grid"), text("none", "-8", floor + 4, "tick", end=True)]
    shapes += _dots(found, sizes, axis)
    shapes += [
        text("error", "-8", -8, "tick", end=True),
        text("bytes in the file", "100%", floor + 38, "tick", end=True),
    ]
    told = "; ".join(f"{short_name(f.name)}: {f.bytes:,} bytes, {f.error:.1e}" for _, f in found[:NUMBERED])
    title = "Bytes and expected rise of the loss, field by field"
    return picture("spread", title, f"Largest errors: {told}.", floor + 44, shapes, plot=True)


def _error_axis(errors: Sequence[float]) -> Axis:
    """Return an axis of factors; measured on held-out rows errors may be negative, and then of differences."""
    return linear_axis([0, *errors]) if min(errors) < 0 else log_axis(errors)


def _error(tick: float) -> str:
    return f"{tick:.1e}".replace("e-0", "e-").replace(".0e", "e") if abs(tick) > 1e-12 else "0"


def _dots(found: Sequence[tuple[int, FieldReport]], sizes: Axis, errors: Axis) -> list[Markup]:
    """Return a dot for each field; those with numbers come last, and lie above the others."""
    dots = [_dot(place, field, number, sizes, errors) for number, (place, field) in enumerate(found, 1)]
    return [shape for dot in reversed(dots) for shape in dot]


def _dot(place: int, field: FieldReport, number: int, sizes: Axis, errors: Axis) -> Iterator[Markup]:
    on_axis = field.error > 0 or not errors.log
    x, y = percent(sizes.at(field.bytes)), down(errors, field.error, _HEIGHT) if on_axis else _HEIGHT + _BELOW
    numbered = number <= NUMBERED and field.error != 0
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
