"""The gates that there are: what each looks at, and which limits it takes."""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from fmcompress.errors import UsageError
from fmcompress.reporting.verdict import Unit
from fmcompress.sizes import parse_size

Figure = Literal["bytes", "auc", "logloss", "rmse"]
"""What a gate looks at: the size of a file, or one of its scores."""

GivenLimit = str | float | None
"""A limit as the caller writes it; None for a gate that is not wanted."""

_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*%", re.ASCII)
_BARE = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)


@dataclass(frozen=True)
class Gate:
    """A kind of check.

    Attributes:
        name: its name, and that of its option.
        figure: what it looks at.
        unit: what that is counted in.
        compares: whether the limit is one of what is worse than the baseline, not of the figure itself.
        percent: whether that limit may be a percentage of the baseline's figure.
        examples: limits that make sense.
    """

    name: str
    figure: Figure
    unit: Unit
    examples: str
    compares: bool = False
    percent: bool = False

    @property
    def scores(self) -> bool:
        """Whether it looks at scores, for which labelled data are needed."""
        return self.figure != "bytes"

    @property
    def more_is_better(self) -> bool:
        """Whether a higher figure is a better one."""
        return self.figure == "auc"

    @property
    def is_least(self) -> bool:
        """Whether the limit is what the figure must have at least."""
        return self.more_is_better and not self.compares


GATES = (
    Gate("max-size", "bytes", "bytes", "10MB"),
    Gate("max-growth", "bytes", "bytes", "100KB or 5%", compares=True, percent=True),
    Gate("min-auc", "auc", "AUC", "0.8"),
    Gate("max-auc-drop", "auc", "AUC", "0.001", compares=True),
    Gate("max-logloss-rise", "logloss", "nats", "0.001 or 1%", compares=True, percent=True),
    Gate("max-rmse", "rmse", "RMSE", "0.9"),
    Gate("max-rmse-rise", "rmse", "RMSE", "0.01 or 1%", compares=True, percent=True),
)


@dataclass(frozen=True)
class Limit:
    """A gate and where it closes.

    Attributes:
        gate: the gate.
        amount: the limit, in the unit of the gate; or in percent of the baseline's figure.
        percent: which of both.
    """

    gate: Gate
    amount: Fraction
    percent: bool = False


def parse_limits(given: Mapping[str, GivenLimit]) -> tuple[Limit, ...]:
    """Return the limits that are given, in the order of the gates.

    Args:
        given: limits by the names of their gates: numbers, or texts such as ``10MB``, ``0.001``, ``5%``.

    Raises:
        UsageError: a limit makes no sense, or there is none.
    """
    limits = tuple(_parse(gate, given[gate.name]) for gate in GATES if given.get(gate.name) is not None)
    if not limits:
        raise UsageError(
            "there is no limit, so nothing to check", hint="give one, such as --max-size 10MB or --min-auc 0.8"
        )
    return limits


def _parse(gate: Gate, given: GivenLimit) -> Limit:
    percent = _PERCENT.fullmatch(str(given).strip())
    try:
        if percent is None:
            return Limit(gate, _score(gate, given) if gate.scores else _bytes(gate, given))
        if not gate.percent:
            raise UsageError(f"{gate.name} is {given!r}, expected no percentage")
        return Limit(gate, Fraction(percent[1]), percent=True)
    except UsageError as error:
        raise UsageError(str(error), hint=f"write {gate.examples}") from error


def _bytes(gate: Gate, given: GivenLimit) -> Fraction:
    text = str(given).strip()
    if gate.compares and text == "0":
        return Fraction(0)
    if gate.compares and isinstance(given, str) and _BARE.fullmatch(text):  # 5 for 5% is a slip that nobody would see
        raise UsageError(f"{gate.name} is {text!r}: bytes, or percent?")
    try:
        return Fraction(parse_size(text))
    except UsageError as error:
        raise UsageError(f"{gate.name}: {error}") from error


def _score(gate: Gate, given: GivenLimit) -> Fraction:
    largest = 1.0 if gate.figure == "auc" else sys.float_info.max
    try:
        amount = float(str(given))
    except ValueError:
        amount = math.nan
    if not 0 <= amount <= largest:
        expected = "a number from 0 to 1" if largest == 1 else "a number that is not negative"
        raise UsageError(f"{gate.name} is {given!r}, expected {expected}")
    return Fraction(amount)
