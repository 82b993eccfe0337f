"""One limit held against what was measured."""

from __future__ import annotations

from fractions import Fraction

from fmcompress.gates.gate import Gate, Limit
from fmcompress.gates.measuring import Measured
from fmcompress.reporting.verdict import Check

_NOISE = Fraction(1, 10**12)
"""Scores are sums of many rounded numbers: differences below this are none. Bytes are exact."""


def judge(limit: Limit, artifact: Measured, baseline: Measured | None) -> Check:
    """Return whether an artifact keeps a limit.

    Args:
        limit: the limit.
        artifact: the artifact, measured.
        baseline: what it is compared with, measured; None where nothing is.
    """
    gate = limit.gate
    against = baseline if gate.compares else None
    value = artifact.figure(gate.figure)
    base = against.figure(gate.figure) if against else None
    reason = artifact.lacks(gate.figure) or (against.lacks(gate.figure) if against else "")
    if limit.percent and base == 0 and against:
        reason = reason or f"{against.model.name}: its {gate.unit} is 0, of which there is no percentage"
    actual = None if value is None or reason else _actual(limit, value, base)
    return Check(
        name=gate.name,
        artifact=artifact.model.name,
        actual=None if actual is None else _number(limit, actual),
        limit=_number(limit, limit.amount),
        unit="%" if limit.percent else gate.unit,
        passed=None if actual is None else _keeps(limit, actual),
        value=value,
        baseline=base,
        value_unit=gate.unit,
        reason=reason,
    )


def _actual(limit: Limit, value: float, base: float | None) -> Fraction:
    """Return what a limit is held against: the figure, or how much worse it is than the baseline's."""
    if base is None:
        return Fraction(value)
    risen = Fraction(value) - Fraction(base)
    worse = -risen if limit.gate.more_is_better else risen
    return 100 * worse / Fraction(base) if limit.percent else worse


def _keeps(limit: Limit, actual: Fraction) -> bool:
    noise = _NOISE if limit.gate.scores else 0
    if _is_least(limit.gate):
        return actual >= limit.amount - noise
    return actual <= limit.amount + noise


def _is_least(gate: Gate) -> bool:
    """Whether the limit is what a figure must have at least."""
    return gate.more_is_better and not gate.compares


def _number(limit: Limit, amount: Fraction) -> float:
    """Return bytes as a whole number, all else as a float."""
    return int(amount) if limit.gate.unit == "bytes" and not limit.percent else float(amount)
