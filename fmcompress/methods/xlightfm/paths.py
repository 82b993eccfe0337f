"""Draws of architectures, one candidate of each codebook: how likely each candidate is, by its price and its bytes.

With u_k the price of a codebook's candidate k and b_k its bytes, it is drawn with probability

    p_k ∝ exp(−(u_k + λ b_k) / T)

The Lagrange multiplier λ makes the expected bytes those of the budget; it is 0 where they fit without. T, of each
codebook, is such that the perplexity of its draw, the exponential of the entropy, is a given number of candidates: the
best one and its neighbours are trained and measured in all codebooks, however much depends on their sizes.
"""

import numpy as np

from fmcompress.types import Float64Array, Int64Array

_HALVINGS = 32
# T in units of a codebook's mean cost: from where the cheapest candidate is as good as certain to where all are alike.
_COLDEST, _WARMEST = 1e-4, 1e4
# λ in units of a mean price for the budget.
_LEAST, _MOST = 1e-6, 1e6


def path_probabilities(prices: Float64Array, payloads: Int64Array, allowed: int, perplexity: float) -> Float64Array:
    """Return p of each candidate, float64 (…, candidates).

    Args:
        prices: u, float64 (…, candidates); infinite where a candidate is out of the question.
        payloads: b, int64 (…, candidates).
        allowed: bytes of all codebooks together.
        perplexity: of each draw; at most what one fewer than all candidates that are not out of the question have.
    """
    finite = np.isfinite(prices)
    relative = prices - prices.min(axis=-1, keepdims=True)
    unit = float(relative[finite].mean()) or 1.0
    shares = payloads / max(allowed, 1)
    wanted = np.minimum(perplexity, np.maximum(finite.sum(axis=-1, keepdims=True) - 1, 1))
    found = _spread(relative / unit, wanted)
    if float((found * shares).sum()) <= 1:
        return found
    low, high = np.log(_LEAST), np.log(_MOST)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        fits = float((_spread(relative / unit + np.exp(middle) * shares, wanted) * shares).sum()) <= 1
        low, high = (low, middle) if fits else (middle, high)
    return _spread(relative / unit + np.exp(high) * shares, wanted)


def _spread(costs: Float64Array, perplexity: Float64Array) -> Float64Array:
    """Return p by costs, float64 (…, candidates), each draw of its perplexity, float64 (…, 1)."""
    costs = costs - costs.min(axis=-1, keepdims=True)
    finite = np.isfinite(costs)
    means = np.where(finite, costs, 0).sum(axis=-1, keepdims=True) / finite.sum(axis=-1, keepdims=True)
    costs = costs / np.where(means > 0, means, 1)
    low, high = np.full_like(means, np.log(_COLDEST)), np.full_like(means, np.log(_WARMEST))
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        wide = _perplexity(_softmax(costs / np.exp(middle))) >= perplexity
        low, high = np.where(wide, low, middle), np.where(wide, middle, high)
    return _softmax(costs / np.exp(low))


def _softmax(costs: Float64Array) -> Float64Array:
    found = np.exp(-costs)
    return np.asarray(found / found.sum(axis=-1, keepdims=True))


def _perplexity(probabilities: Float64Array) -> Float64Array:
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return np.asarray(np.exp(-(probabilities * logs).sum(axis=-1, keepdims=True)))


def draw(probabilities: Float64Array, rng: np.random.Generator) -> Int64Array:
    """Return a candidate of each codebook, int64 (…,), from probabilities, float64 (…, candidates)."""
    below = probabilities.cumsum(axis=-1)[..., :-1] <= rng.random(probabilities.shape[:-1])[..., None]
    return np.asarray(below.sum(axis=-1), dtype=np.int64)
