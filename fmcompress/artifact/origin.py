"""Where an artifact comes from, and how that is written in its metadata."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields, replace
from itertools import chain
from typing import Any, Literal

Layout = Literal["compact", "plain"]
COMPACT: Layout = "compact"
PLAIN: Layout = "plain"

MEASURED = ("source", "untuned", "artifact")
"""Models with figures of quality, in the order in which they are written."""

_MAX_SCORE = 99_999.0
_MAX_RMSE = 999_999_000.0
_SCORE_DIGITS = 6
_RMSE_DECIMALS = 9
_MAX_WHOLE = 2**63 - 1
_MIN_ERROR, _MAX_ERROR = 1e-99, 9.9e99
_ERROR = re.compile(r"[0-9]\.[0-9]e[+-][0-9]{2}")
_COSINE = re.compile(r"0\.[0-9]{4}|1\.0000")
_PLAIN = re.compile(r"[^\s,]+")


@dataclass(frozen=True)
class Quality:
    """How well the model predicts held-out rows.

    Attributes:
        rows: number of rows.
        auc: area under the ROC curve; NaN for regression.
        logloss: mean binary cross entropy, in nats; NaN for regression.
        rmse: root of the mean squared error; NaN for classification.
        auc_standard_error: of the AUC, by DeLong; NaN where it has none, None where nobody has written it down.
        calibrated_logloss: LogLoss with the two numbers that calibrate logits best on these rows; NaN where it is not
            known. No artifact holds it.
    """

    rows: int
    auc: float
    logloss: float
    rmse: float = math.nan
    auc_standard_error: float | None = None
    calibrated_logloss: float = field(default=math.nan, compare=False)

    @property
    def regression(self) -> bool:
        """Whether it is of a model that predicts numbers, not probabilities."""
        return not math.isnan(self.rmse)


LONGEST = Quality(0, 0.12345, 0.12345, 0.000123457, 0.12345)
"""No scores take more room in the metadata."""


def longest(quality: Quality) -> Quality:
    """Return the scores that take most room in the metadata, of as many figures and rows as these."""
    error = None if quality.auc_standard_error is None else LONGEST.auc_standard_error
    return replace(LONGEST, rows=quality.rows, auc_standard_error=error)


@dataclass(frozen=True)
class Sampled:
    """How far logits are from the checkpoint's on rows that were drawn, for there were no data.

    Attributes:
        largest: absolute error.
        mean: of the absolute errors.
        spread: standard deviation of the checkpoint's logits.
    """

    largest: float
    mean: float
    spread: float


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from: all of it is written into its header.

    Attributes:
        budget_bytes: the size that was asked for.
        method: how it was made.
        seed: seed of k-means, tuning and shuffling.
        source: tool, file name and SHA-256 of the checkpoint; empty for a model made in memory.
        libraries: versions of what made it.
        sampled: errors on drawn rows; None with data. Written with 2 digits.
        quality: on validation data, of the checkpoint (``source``), the artifact before tuning
            (``untuned``) and as it is (``artifact``); empty without data. Written with 5 decimals.
        warnings: what was found that makes it doubtful.
        cosines: of tables, mean cosine of each one's vectors and their originals; empty for a factorization machine.
            Written with 4 decimals, from 0 on.
        layout: of the file: ``compact``, or ``plain``, which older readers understand and which can be mapped.
        provenance: whether the file says more of this than budget, method and seed, and a compact one even that.
    """

    budget_bytes: int
    method: str
    seed: int
    source: tuple[str, ...] = ()
    libraries: Mapping[str, str] = field(default_factory=dict)
    sampled: Sampled | None = None
    quality: Mapping[str, Quality] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    cosines: tuple[float, ...] = ()
    layout: Layout = PLAIN
    provenance: bool = True

    @property
    def compact(self) -> bool:
        """Whether the file is compact."""
        return self.layout == COMPACT

    @property
    def told(self) -> Origin:
        """What a plain file says of it."""
        return self if self.provenance else Origin(self.budget_bytes, self.method, self.seed, cosines=self.cosines)


DEFAULTS: Mapping[str, Any] = {
    **{"sampled": "", "source": [], "libraries": "", "quality": {}, "warnings": [], "cosines": ""},
}
"""What metadata mean that do not say it."""


def encode_origin(origin: Origin, *, regression: bool) -> dict[str, Any]:
    """Return the entries of the metadata; the quality of a regression is its RMSE."""
    origin = origin.told
    return {
        "budget": origin.budget_bytes,
        "method": origin.method,
        "seed": origin.seed,
        # With ? in place of what UTF-8 cannot say: a file name may hold any bytes.
        "source": [word.encode(errors="replace").decode() for word in origin.source],
        "libraries": _encode_libraries(origin.libraries),
        "sampled": _encode_sampled(origin.sampled),
        "quality": _encode_quality(origin.quality, regression=regression),
        "warnings": [warning.encode(errors="replace").decode() for warning in origin.warnings],
        "cosines": " ".join(f"{min(max(cosine, 0.0), 1.0):.4f}" for cosine in origin.cosines),
    }


def decode_origin(found: Mapping[str, Any], *, regression: bool) -> Origin:
    """Return what entries of metadata say: the inverse of ``encode_origin``.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: they make no sense.
    """
    return Origin(
        budget_bytes=whole(found["budget"]),
        method=text(found["method"]),
        seed=whole(found["seed"]),
        source=tuple(text(word) for word in listed(found["source"])),
        libraries=_decode_libraries(found["libraries"]),
        sampled=_decode_sampled(found["sampled"]),
        quality=_decode_quality(found["quality"], regression=regression),
        warnings=tuple(text(warning) for warning in listed(found["warnings"])),
        cosines=_decode_cosines(found["cosines"]),
    )


def _encode_sampled(sampled: Sampled | None) -> str:
    """Return three numbers that take the same room whatever they are: ``1.2e-05``."""
    if sampled is None:
        return ""
    return " ".join(_error(number) for number in astuple(sampled))


def _error(number: float) -> str:
    number = min(number, _MAX_ERROR) if math.isfinite(number) else _MAX_ERROR
    return f"{number if number >= _MIN_ERROR else 0.0:.1e}"


def _decode_sampled(found: Any) -> Sampled | None:
    """Return the errors; None for what is none of the kind: nothing depends on them."""
    numbers = found.split(" ") if isinstance(found, str) else []
    if len(numbers) != len(fields(Sampled)) or not all(map(_ERROR.fullmatch, numbers)):
        return None
    return Sampled(*map(float, numbers))


def _decode_cosines(found: Any) -> tuple[float, ...]:
    """Return the cosines; none for what is none of the kind: nothing depends on them."""
    numbers = found.split(" ") if isinstance(found, str) else []
    return tuple(map(float, numbers)) if all(map(_COSINE.fullmatch, numbers)) else ()


def _encode_libraries(libraries: Mapping[str, str]) -> str | dict[str, str]:
    """Return ``faiss 1.15.1, numpy 2.4.6``; an object where names or versions are odd."""
    if all(_PLAIN.fullmatch(word) for word in chain.from_iterable(libraries.items())):
        return ", ".join(f"{name} {version}" for name, version in sorted(libraries.items()))
    return dict(libraries)


def _decode_libraries(found: Any) -> dict[str, str]:
    if isinstance(found, str):
        return dict(library.split(" ") for library in found.split(", ") if library)
    return {name: text(version) for name, version in found.items()}


def _encode_quality(quality: Mapping[str, Quality], *, regression: bool) -> Any:
    """Return the rows, then the scores of each model in its order; an object where rows or models are odd.

    Scores are the RMSE of a regression; of anything else AUC, LogLoss and, where it is known, the standard error of the
    AUC. None, JSON's null, stands for what is not there.
    """
    scores = {name: _encode_scores(found, regression=regression) for name, found in quality.items()}
    rows = {found.rows for found in quality.values()}
    if len(rows) == 1 and scores.keys() <= set(MEASURED):
        return [*rows, *map(scores.get, MEASURED)]
    return {name: [quality[name].rows, *scores[name]] for name in scores}


def _encode_scores(found: Quality, *, regression: bool) -> list[float | None]:
    if regression:
        return [_rmse(found.rmse)]
    error = found.auc_standard_error
    return [_score(score) for score in (found.auc, found.logloss, *(() if error is None else (error,)))]


def _decode_quality(found: Any, *, regression: bool) -> dict[str, Quality]:
    if isinstance(found, list):
        rows, *each = found
        found = {name: [rows, *scores] for name, scores in zip(MEASURED, each, strict=True) if scores is not None}
    return {name: _decode_scores(whole(rows), scores, regression=regression) for name, (rows, *scores) in found.items()}


def _decode_scores(rows: int, scores: list[Any], *, regression: bool) -> Quality:
    if regression:
        (rmse,) = scores
        return Quality(rows, math.nan, math.nan, number(rmse))
    auc, logloss, *errors = scores
    if len(errors) > 1:
        raise ValueError("more figures than there are")
    return Quality(rows, number(auc), number(logloss), math.nan, *map(number, errors))


def _score(value: float) -> float | None:
    """Return an AUC or a LogLoss with 5 decimals, fewer from 10 on."""
    if not math.isfinite(value):
        return None
    value = min(max(value, 0.0), _MAX_SCORE)
    return round(value, _SCORE_DIGITS - len(str(int(value))))


def _rmse(value: float) -> float | None:
    """Return an RMSE with 6 digits, from 1e-9 up to 10⁹: labels may have any size."""
    if not math.isfinite(value):
        return None
    return float(f"{min(round(value, _RMSE_DECIMALS), _MAX_RMSE):.6g}")


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


def listed(value: Any) -> list[Any]:
    """Return a value of metadata that must be a list; ValueError where it is none: texts and objects have items too."""
    if not isinstance(value, list):
        raise ValueError("a list was expected")
    return value


def number(value: Any) -> float:
    """Return a value of metadata that must be a number, or null for NaN; ValueError where it is neither."""
    if value is None:
        return math.nan
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("a number was expected")
    return float(value)
