"""Axes of pictures: where a number stands, and which numbers are written beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = (1, 2, 5)
_FEWEST_TICKS = 3
_MOST_DECADES = 5
_FEW_DECADES = 2
_MARGIN = 0.06
_LEAST_ROOM = 0.2  # of a decade, on each side: then there is a tick however close together the numbers are


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
        low, high, number = (_log(x) if self.log else x for x in (self.low, self.high, number))
        return (number - low) / (high - low)


def log_axis(numbers: Sequence[float]) -> Axis:
    """Return an axis on which positive numbers stand with a little room around them."""
    low, high = _log(min(numbers)), _log(max(numbers))
    room = max(_MARGIN * (high - low), _LEAST_ROOM)
    low, high = low - room, high + room
    decades = high - low
    every = math.ceil(decades / _MOST_DECADES)
    factors = (1, 2, 5) if decades <= _FEW_DECADES else (1,)
    powers = range(math.floor(low), math.ceil(high) + 1)
    ticks = [factor * 10.0**power for power in powers if power % every == 0 for factor in factors]
    return Axis(10**low, 10**high, tuple(tick for tick in ticks if low <= _log(tick) <= high), log=True)


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


def tick_text(axis: Axis, number: float) -> str:
    """Return a number of a linear axis with as many decimals as tell it from its neighbours."""
    step = axis.ticks[1] - axis.ticks[0] if len(axis.ticks) > 1 else axis.high - axis.low
    decimals = max(0, -math.floor(math.log10(step) + 1e-6))  # a step of 0.01 may come out a little smaller
    return f"{number:.{min(decimals, 9)}f}" if 1e-9 <= step < 1e6 else f"{number:.3g}"


def _log(number: float) -> float:
    return math.log10(number)
