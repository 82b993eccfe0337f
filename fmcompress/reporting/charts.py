"""What pictures show, as numbers: axes, and where on them bars, dots and curves stand."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fmcompress.reporting.curve import Curve, CurvePanel, CurvePoint
from fmcompress.reporting.document import NOTHING
from fmcompress.reporting.report_data import FieldReport, ReportData
from fmcompress.text import shortened

_STEPS = (1, 2, 5)
_FEWEST_TICKS = 3
_MOST_DECADES = 5
_FEW_DECADES = 2
_MARGIN = 0.06
_LEAST_ROOM = 0.2  # of a decade, on each side: then there is a tick however close together the numbers are

_LONGEST_NAME = 60
_SPREAD_HEIGHT, _BELOW, _NUMBERED = 260, 36, 8
_CURVE_HEIGHT = 240
_KINDS = 10
"""Colours of makers; what comes after begins with the first baseline's colour again."""
_ROUND = "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0"
_MARKS = ("M-4-4H4V4H-4Z", "M0-5L5 4H-5Z", "M0-5.5L5.5 0L0 5.5L-5.5 0Z", "M0 5L5-4H-5Z", "M-5-2H5V2H-5Z")


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        low: number at its beginning.
        high: number at its end.
        ticks: numbers that are written beside it.
        log: whether it counts factors.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    log: bool = False

    def at(self, number: float) -> float:
        """Return where a number stands, from 0 to 1."""
        low, high, number = (math.log10(x) if self.log else x for x in (self.low, self.high, number))
        return (number - low) / (high - low)

    def down(self, number: float, height: float) -> float:
        """Return where a number stands where the axis is upright, in pixels from above."""
        return round((1 - self.at(number)) * height, 2)

    def tick_text(self, number: float) -> str:
        """Return a number of a linear axis with as many decimals as tell it from its neighbours."""
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else self.high - self.low
        decimals = max(0, -math.floor(math.log10(step) + 1e-6))  # a step of 0.01 may come out a little smaller
        return f"{number:.{min(decimals, 9)}f}" if 1e-9 <= step < 1e6 else f"{number:.3g}"


def log_axis(numbers: Sequence[float]) -> Axis:
    """Return an axis on which positive numbers stand with a little room around them."""
    low, high = math.log10(min(numbers)), math.log10(max(numbers))
    room = max(_MARGIN * (high - low), _LEAST_ROOM)
    low, high = low - room, high + room
    decades = high - low
    every = math.ceil(decades / _MOST_DECADES)
    factors = (1, 2, 5) if decades <= _FEW_DECADES else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers if power % every == 0 for factor in factors]
    return Axis(10**low, 10**high, tuple(tick for tick in ticks if low <= math.log10(tick) <= high), log=True)


def linear_axis(numbers: Sequence[float]) -> Axis:
    """Return an axis on which numbers stand with a little room around them."""
    low, high = min(numbers), max(numbers)
    room = _MARGIN * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - room, high + room
    widest = (high - low) / _FEWEST_TICKS
    power = 10.0 ** math.floor(math.log10(widest))
    # The power itself may come out a little larger than what it is the power of.
    step = max(step * power for step in _STEPS if step * power <= widest * (1 + 1e-9))
    first, last = math.ceil(low / step), math.floor(high / step)
    return Axis(low, high, tuple(number * step for number in range(first, last + 1)))


def short_name(name: str) -> str:
    """Return a name for a picture."""
    return shortened(name, _LONGEST_NAME)


def percent(share: float) -> str:
    """Return a share as a length in SVG."""
    return f"{round(100 * share, 3):g}%"


@dataclass(frozen=True)
class SpreadChart:
    """How bytes and the expected rise of the loss spread over the fields.

    Attributes:
        sizes: the axis of bytes.
        errors: the upright axis of errors.
        dots: the fields in the order in which they are drawn: number, place in the model, field. The largest errors
            have the lowest numbers, come last, and lie above the others.
        floor: where the picture ends, in pixels from above: below the axis there is room for fields without error.
        total: what shares of errors are of; None where some are negative, or are not known.
    """

    sizes: Axis
    errors: Axis
    dots: list[tuple[int, int, FieldReport]]
    floor: int
    total: float | None
    height: int = _SPREAD_HEIGHT

    @property
    def description(self) -> str:
        """What the picture tells."""
        first = [field for number, _, field in reversed(self.dots) if number <= _NUMBERED]
        told = "; ".join(f"{short_name(f.name)}: {f.bytes:,} bytes, {f.error:.1e}" for f in first)
        return f"Largest errors: {told}."

    def numbered(self, number: int, field: FieldReport) -> bool:
        """Whether a field has a number in the picture."""
        return number <= _NUMBERED and field.error != 0

    def down(self, field: FieldReport) -> float:
        """Return where a field stands, in pixels from above."""
        return self.errors.down(field.error, self.height) if field.error > 0 or not self.errors.log else self.floor

    def error_text(self, tick: float) -> str:
        """Return an error as it stands beside the axis."""
        return f"{tick:.1e}".replace("e-0", "e-").replace(".0e", "e") if abs(tick) > 1e-12 else "0"

    def share(self, field: FieldReport) -> str:
        """Return a field's share of all errors."""
        return NOTHING if self.total is None else f"{field.error / self.total:.1%}"


def spread_chart(report: ReportData) -> SpreadChart | None:
    """Return the picture of bytes and errors; None where no field has an error."""
    found = [(place, field) for place, field in enumerate(report.fields) if field.bytes and math.isfinite(field.error)]
    found.sort(key=lambda entry: -abs(entry[1].error))
    errors = [field.error for _, field in found if field.error]
    if not errors:
        return None
    # Measured on held-out rows errors may be negative, and then the axis is one of differences, not of factors.
    axis = linear_axis([0, *errors]) if min(errors) < 0 else log_axis(errors)
    known = all(field.error >= 0 for field in report.fields)
    return SpreadChart(
        sizes=log_axis([field.bytes for _, field in found]),
        errors=axis,
        dots=[(number, place, field) for number, (place, field) in enumerate(found, 1)][::-1],
        floor=_SPREAD_HEIGHT + _BELOW if axis.log and len(errors) < len(found) else _SPREAD_HEIGHT,
        total=report.predicted_rise if known else None,
    )


@dataclass(frozen=True)
class CurveChart:
    """One score over bytes.

    Attributes:
        panel: the score.
        sizes: the axis of bytes.
        scores: the upright axis.
        lines: the points of each maker that have a score, with their scores.
    """

    panel: CurvePanel
    sizes: Axis
    scores: Axis
    lines: dict[str, list[tuple[CurvePoint, float]]]
    height: int = _CURVE_HEIGHT

    @property
    def description(self) -> str:
        """What the picture tells."""
        told = [
            f"{name}: {', '.join(f'{point.file_bytes:,} bytes {score:.5f}' for point, score in own)}"
            for name, own in self.lines.items()
        ]
        return f"The checkpoint: {self.panel.source:.5f}. {'; '.join(told)}."


def curve_charts(curve: Curve, file_bytes: int) -> Iterator[CurveChart]:
    """Yield a picture for each score; the size of the artifact stands across."""
    lines = curve.lines()
    for panel in curve.panels() if lines else ():
        axes = curve_axes(panel, [point for own in lines.values() for point in own], file_bytes)
        known = {name: [(p, s) for p in own if (s := _known(panel.of(p))) is not None] for name, own in lines.items()}
        yield CurveChart(panel, *axes, known)


def curve_axes(panel: CurvePanel, points: Sequence[CurvePoint], *sizes: int) -> tuple[Axis, Axis]:
    """Return the axes of bytes and of a score on which points stand, the checkpoint's score, and other sizes."""
    scores = [score for point in points if (score := _known(panel.of(point))) is not None]
    return log_axis([*(point.file_bytes or 1 for point in points), *sizes]), linear_axis([*scores, panel.source])


def shape_of_line(place: int) -> str:
    """Return the shape of a maker's marks."""
    return _ROUND if place == 0 else _MARKS[(place - 1) % len(_MARKS)]


def kind_of_line(place: int) -> str:
    """Return the class that colours a maker's line and marks."""
    return f"k{place if place < _KINDS else 1 + (place - 1) % (_KINDS - 1)}"


def _known(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
