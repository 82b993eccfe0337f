"""How certain a figure of a gate is: its standard error on the rows that it was measured on, and its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmcompress.data.summary import LEAST_OF_A_LABEL
from fmcompress.errors import UsageError
from fmcompress.gates.gate import Limit

if TYPE_CHECKING:
    from fmcompress.evaluation.scores import ScoredRows, Scores

_LEAST_CONFIDENCE = 0.5
_MOST_ODDS = 700.0
_MOST_TIMES = 30


@dataclass(frozen=True)
class Bounds:
    """Where a figure lies, each bound by itself with the confidence that is asked for.

    Attributes:
        lower: it is at least this.
        upper: it is at most this.
        confidence: how often each bound holds.
    """

    lower: float
    upper: float
    confidence: float


def check_confidence(confidence: float | None) -> None:
    """Raise UsageError where a level of confidence is none."""
    if confidence is not None and not _LEAST_CONFIDENCE <= confidence < 1:
        raise UsageError(f"confidence is {confidence}, expected a number from 0.5 up to, but not, 1", hint="write 0.95")


def too_few(scores: Scores) -> str:
    """Return why rows are too few to judge a model by its scores; nothing where they are enough, or nobody knows.

    From 30 rows of the rarer label on, bounds at 95 % hold in 94 % or more of all draws where the AUC is that of
    clicks, .7 to .8; with 3 a lower one holds in four of five: a standard error says nothing there.
    """
    rows, positives = scores.rows, scores.positives
    if scores.regression:
        return f"{rows:,} rows are too few to judge by, expected {LEAST_OF_A_LABEL} or more" * (rows < LEAST_OF_A_LABEL)
    if positives is None or min(positives, rows - positives) >= LEAST_OF_A_LABEL:
        return ""
    label, found = (1, positives) if positives <= rows - positives else (0, rows - positives)
    return (
        f"{found:,} of {rows:,} rows {'has' if found == 1 else 'have'} label {label}, "
        f"too few to judge by: expected {LEAST_OF_A_LABEL} or more of each label"
    )


def standard_error_of(limit: Limit, rows: ScoredRows | None, compared: ScoredRows | None) -> float | None:
    """Return the standard error of what a limit is held against; None where there is none.

    Args:
        limit: the limit, of a score.
        rows: the artifact's predictions.
        compared: the baseline's for the same rows; None where the limit is one of the figure itself.
    """
    figure = limit.gate.figure
    if figure == "bytes" or rows is None or len(rows) < 2 or limit.gate.compares == (compared is None):
        return None
    from fmcompress.evaluation.deviations import change_error, standard_error

    if figure == "auc" and math.isnan(rows.scores.auc_standard_error):
        return None
    if compared is None:
        return standard_error(figure, rows)
    if not limit.percent:
        return change_error(figure, rows, compared)
    value, base = (float(getattr(each.scores, figure)) for each in (rows, compared))
    return 100 * change_error(figure, rows, compared, scale=1 / base, scale_before=value / base**2)


def bounds(limit: Limit, actual: float, error: float, confidence: float) -> Bounds:
    """Return one-sided bounds of what a limit is held against.

    They are normal: of an AUC on the scale of its log-odds, which keeps them between 0 and 1 and right for high ones.

    Args:
        limit: the limit, of a score.
        actual: the figure.
        error: its standard error.
        confidence: how often each bound is to hold.
    """
    reach = _reach(confidence) * error
    if limit.gate.figure != "auc" or limit.gate.compares or not 0 < actual < 1:
        return Bounds(actual - reach, actual + reach, confidence)
    odds, reach = math.log(actual / (1 - actual)), reach / (actual * (1 - actual))
    lower, upper = (1 / (1 + math.exp(min(-each, _MOST_ODDS))) for each in (odds - reach, odds + reach))
    return Bounds(lower, upper, confidence)


def rows_to_tell(limit: Limit, actual: float, error: float, confidence: float, rows: int) -> int | None:
    """Return about how many rows like these it takes to judge, two digits of it; None where that is beyond all sense.

    Args:
        limit: the limit, of a score.
        actual: the figure.
        error: its standard error.
        confidence: how often each bound is to hold.
        rows: how many there are.
    """
    gap = abs(actual - float(limit.amount))
    if gap * _MOST_TIMES < error:
        return None
    needed = rows * (_reach(confidence) * error / gap) ** 2
    return int(float(f"{needed:.1e}"))


def _reach(confidence: float) -> float:
    """Return how many standard errors a one-sided bound is away."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(confidence)
