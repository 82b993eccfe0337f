"""Links: from the logit of a row to the prediction, and what a wrong prediction costs."""

import math
from dataclasses import dataclass

import numpy as np

from fmcompress.errors import UsageError
from fmcompress.types import Float32Array, Float64Array

LINKS = ("sigmoid", "probit", "identity", "clip")
"""Names of the links; a clip is written with its range, ``clip:1:5``."""

_SQRT_HALF = math.sqrt(0.5)
_LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)
LARGEST_LOGIT = 30.0
"""Sigmoids of larger ones are as good as 1."""
FAR_LOGIT = 1e5
BEYOND_CLIP = 0.01
"""Curvature of the loss beyond the range of a clip."""


@dataclass(frozen=True)
class Link:
    """From logit z to prediction, and the loss of a prediction.

        sigmoid    1 / (1 + exp(−z))             −t log p − (1 − t) log(1 − p)
        probit     Φ(z), the normal CDF           the same
        identity   z                              ½ (z − t)²
        clip       z, kept within a range         ½ (p − t)²

    Attributes:
        name: one of ``LINKS``.
        low: least prediction of a clip.
        high: largest prediction of a clip.
    """

    name: str
    low: float = -math.inf
    high: float = math.inf

    @property
    def regression(self) -> bool:
        """Whether predictions are numbers of any size, not probabilities."""
        return self.name in ("identity", "clip")

    def predict(self, logits: Float32Array | Float64Array) -> Float32Array:
        """Return the predictions of logits (rows,), float32 (rows,)."""
        if self.regression:
            return np.asarray(np.clip(logits, self.low, self.high), dtype=np.float32)
        z = np.asarray(logits, dtype=np.float64)
        if self.name == "sigmoid":
            small = np.exp(-np.abs(z))
            return np.asarray(np.where(z < 0, small, 1) / (1 + small), dtype=np.float32)
        # One by one, but without scipy, which takes longer to import than a model to open.
        return np.fromiter((0.5 * math.erfc(x) for x in (z * -_SQRT_HALF).tolist()), np.float32, z.size)

    def logits(self, predictions: Float32Array) -> Float64Array:
        """Return the logits of predictions, float64 (rows,): the inverse of ``predict``; certain ones are infinite.

        Args:
            predictions: float32 (rows,); of a clip, where it clips, the logit is the limit.
        """
        p = np.asarray(predictions, dtype=np.float64)
        if self.regression:
            return p
        if self.name == "sigmoid":
            with np.errstate(divide="ignore"):
                return np.asarray(np.log(p) - np.log1p(-p))
        from scipy.special import ndtri

        return np.asarray(ndtri(p))

    def losses(self, logits: Float64Array, targets: Float64Array) -> Float64Array:
        """Return the loss of each row, float64 (rows,): cross entropy in nats, or half the squared error."""
        if self.regression:
            return np.asarray(0.5 * (np.clip(logits, self.low, self.high) - targets) ** 2)
        if self.name == "sigmoid":
            return np.asarray(np.maximum(logits, 0) + np.log1p(np.exp(-np.abs(logits))) - targets * logits)
        from scipy.special import log_ndtr

        return np.asarray(-targets * log_ndtr(logits) - (1 - targets) * log_ndtr(-logits))

    def slopes(self, logits: Float64Array, targets: Float64Array) -> Float64Array:
        """Return the first derivative of the loss by the logit, float64 (rows,).

        Beyond the range of a clip, where it would be 0, it is p − t: so libFM has it, and a wrong logit finds back.
        """
        if self.regression:
            return np.asarray(np.clip(logits, self.low, self.high) - targets)
        if self.name == "sigmoid":
            return np.asarray(_sigmoid(logits) - targets)
        return np.asarray((1 - targets) * _hazard(-logits) - targets * _hazard(logits))

    def curvatures(self, logits: Float64Array) -> Float64Array:
        """Return the expected second derivative of the loss by the logit, float64 (rows,).

        That is p(1 − p) for sigmoid, φ² / (Φ(1 − Φ)) for probit, and 1 for squared errors; beyond the range of a clip
        next to nothing.
        """
        if self.regression:
            return np.where((logits < self.low) | (logits > self.high), BEYOND_CLIP, 1.0)
        if self.name == "sigmoid":
            p = _sigmoid(logits)
            return np.asarray(p * (1 - p))
        return np.asarray(_hazard(logits) * _hazard(-logits))

    def __str__(self) -> str:
        # repr, because %g would round a limit to six digits.
        limits = (repr(limit).removesuffix(".0") for limit in (self.low, self.high))
        return ":".join(["clip", *limits]) if self.name == "clip" else self.name


def parse_link(text: str) -> Link:
    """Return the link that a text names: ``sigmoid``, ``probit``, ``identity``, or ``clip:LOW:HIGH``.

    Raises:
        UsageError: there is no such link.
    """
    name, _, limits = text.partition(":")
    if name in LINKS and name != "clip" and not limits:
        return Link(name)
    if name == "clip":
        low, _, high = limits.partition(":")
        try:
            link = Link(name, float(low), float(high))
        except ValueError:
            link = Link(name)
        if -math.inf < link.low < link.high < math.inf:
            return link
    raise UsageError(f"link is {text!r}, expected sigmoid, probit, identity or clip:LOW:HIGH")


def _sigmoid(logits: Float64Array) -> Float64Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT))))


def _hazard(logits: Float64Array) -> Float64Array:
    """Return φ(z) / Φ(z)."""
    from scipy.special import log_ndtr

    near = np.maximum(logits, -FAR_LOGIT)  # beyond, it is -z, and both terms of the exponent too large to cancel
    return np.where(logits < near, -logits, np.exp(-0.5 * np.square(near) - _LOG_SQRT_2PI - log_ndtr(near)))
