"""Curves from the JSON that ``sweep`` writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

from fmcompress.artifact import Quality
from fmcompress.errors import UsageError
from fmcompress.reporting.curve import Curve, CurvePoint, CurveSource, MeasuredOn

_HINT = "fmcompress sweep … --format json > curve.json writes one"
_SCORES = ("auc", "logloss", "rmse")


def read_curve(path: str | Path) -> Curve:
    """Read a curve from a file.

    Raises:
        UsageError: the file cannot be read, or holds no curve.
    """
    try:
        text = Path(path).read_bytes().decode()
        return parse_curve(text)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no curve of fmcompress: {str(error)[:100]}", hint=_HINT) from error


def parse_curve(text: str) -> Curve:
    """Return a curve from its JSON; the inverse of ``Curve.to_json``, but for what rounding took.

    Raises:
        ValueError: it is none.
    """
    found = json.loads(text)
    try:
        source = found["checkpoint"]
        measured_on = source["measured_on"]
        if measured_on not in (None, *get_args(MeasuredOn)):
            raise ValueError(f"measured on {measured_on!r}")
        checkpoint = CurveSource(_text(source, "name"), _positive(source, "fp32_bytes"), _quality(source))
        if (checkpoint.quality is None) != (measured_on is None):
            raise ValueError("rows and what they are of do not fit together")
        return Curve(checkpoint, tuple(map(_point, found["points"])), measured_on)
    except KeyError as error:
        raise ValueError(f"there is no {error.args[0]}") from error
    except (TypeError, OverflowError) as error:
        raise ValueError("it has another form") from error


def _point(found: Any) -> CurvePoint:
    return CurvePoint(
        name=_text(found, "name"),
        baseline=None if found["baseline"] is None else _text(found, "baseline"),
        budget_bytes=None if found["budget_bytes"] is None else _positive(found, "budget_bytes"),
        file_bytes=None if found["file_bytes"] is None else _positive(found, "file_bytes"),
        quality=_quality(found),
        predicted_rise=None if found["predicted_rise"] is None else _number(found, "predicted_rise"),
        seconds=_number(found, "seconds"),
        smallest_bytes=None if found["smallest_bytes"] is None else _positive(found, "smallest_bytes"),
    )


def _quality(found: Any) -> Quality | None:
    if found["rows"] is None:
        return None
    scores = [math.nan if found[name] is None else _number(found, name) for name in _SCORES]
    return Quality(_positive(found, "rows"), *scores)


def _text(found: Any, key: str) -> str:
    if not isinstance(found[key], str):
        raise ValueError(f"{key} is no text")
    return str(found[key])


def _positive(found: Any, key: str) -> int:
    if type(found[key]) is not int or not 0 < found[key] < 2**63:
        raise ValueError(f"{key} is no positive whole number")
    return int(found[key])


def _number(found: Any, key: str) -> float:
    if type(found[key]) not in (int, float) or not math.isfinite(found[key]):
        raise ValueError(f"{key} is no number")
    return float(found[key])
