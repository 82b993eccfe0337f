"""Where an artifact comes from, and how that is written in its metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

MEASURED = ("source", "untuned", "artifact")
"""Models with figures of quality, in the order in which they are written."""

LONGEST_SCORE = 0.12345
"""No AUC or LogLoss takes more room in the metadata."""

_MAX_SCORE = 99_999.0
_SCORE_DIGITS = 6
_MAX_WHOLE = 2**63 - 1
_PLAIN = re.compile(r"[^\s,]+")


@dataclass(frozen=True)
class Quality:
    """How well the model predicts held-out rows.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve.
        logloss: mean binary cross entropy, in nats.
    """

    rows: int
    auc: float
    logloss: float


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from: all of it is written into its header.

    Attributes:
        budget_bytes: the size that was asked for.
        method: how it was made.
        seed: seed of k-means, tuning and shuffling.
        source: tool, file name and SHA-256 of the checkpoint; empty for a model made in memory.
        libraries: versions of what made it.
        quality: on validation data, of the checkpoint (``source``), the artifact before tuning
            (``untuned``) and as it is (``artifact``); empty without data. Written with 5 decimals.
    """

    budget_bytes: int
    method: str
    seed: int
    source: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    quality: Mapping[str, Quality] = field(default_factory=dict)


DEFAULTS: Mapping[str, Any] = {"source": [], "libraries": "", "quality": {}}
"""What metadata mean that do not say it."""


def encode_origin(origin: Origin) -> dict[str, Any]:
    """Return the entries of the metadata."""
    return {
        "budget": origin.budget_bytes,
        "method": origin.method,
        "seed": origin.seed,
        "source": [_writable(part) for part in origin.source],
        "libraries": _encode_libraries(origin.libraries),
        "quality": _encode_quality(origin.quality),
    }


def decode_origin(found: Mapping[str, Any]) -> Origin:
    """Return what entries of metadata say: the inverse of ``encode_origin``.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: they make no sense.
    """
    return Origin(
        budget_bytes=whole(found["budget"]),
        method=text(found["method"]),
        seed=whole(found["seed"]),
        source=tuple(text(part) for part in found["source"]),
        libraries=_decode_libraries(found["libraries"]),
        quality=_decode_quality(found["quality"]),
    )


def _encode_libraries(libraries: Mapping[str, str]) -> str | dict[str, str]:
    """Return ``faiss 1.15.1, numpy 2.4.6``; an object where names or versions are odd."""
    if all(_PLAIN.fullmatch(word) for word in chain.from_iterable(libraries.items())):
        return ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
    return dict(libraries)


def _decode_libraries(found: Any) -> dict[str, str]:
    if isinstance(found, str):
        return dict(library.split(" ") for library in found.split(", ") if library)
    return {name: text(version) for name, version in found.items()}


def _encode_quality(quality: Mapping[str, Quality]) -> Any:
    """Return the rows, then AUC and LogLoss of each model in its order; an object where rows or models are odd."""
    scores = {name: [_score(found.auc), _score(found.logloss)] for name, found in quality.items()}
    rows = {found.rows for found in quality.values()}
    if len(rows) == 1 and scores.keys() <= set(MEASURED):
        return [*rows, *map(scores.get, MEASURED)]
    return {name: [quality[name].rows, *scores[name]] for name in scores}


def _decode_quality(found: Any) -> dict[str, Quality]:
    if isinstance(found, list):
        rows, *scores = found
        found = {name: [rows, *pair] for name, pair in zip(MEASURED, scores, strict=True) if pair is not None}
    return {name: Quality(whole(rows), number(auc), number(logloss)) for name, (rows, auc, logloss) in found.items()}


def _score(value: float) -> float | None:
    """Return an AUC or a LogLoss with 5 decimals, fewer from 10 on; None, JSON's null, where it does not exist."""
    if not math.isfinite(value):
        return None
    value = min(max(value, 0.0), _MAX_SCORE)
    return round(value, _SCORE_DIGITS - len(str(int(value))))


def _writable(name: str) -> str:
    """Return a text with ``?`` in place of what UTF-8 cannot say: a file name may hold any bytes."""
    return name.encode(errors="replace").decode()


def whole(value: Any) -> int:
    """Return a value of metadata that must be a whole number; ValueError where it is none."""
    if type(value) is not int or abs(value) > _MAX_WHOLE:
        raise ValueError("a whole number was expected")
    return value


def text(value: Any) -> str:
    """Return a value of metadata that must be a text; ValueError where it is none."""
    if not isinstance(value, str):
        raise ValueError("a text was expected")
    return value


def number(value: Any) -> float:
    """Return a value of metadata that must be a number, or null for NaN; ValueError where it is neither."""
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number was expected")
    return float(value)
