"""k-means in which a codeword costs what it takes to say it: entropy-constrained vector quantization.

Codes are entropy coded in the file: one that n_k of n categories have takes b_k = −log2 (n_k / n) bits. So a category
takes the codeword with the least

    w_i ‖x_i − c_k‖² + λ b_k

where w_i is the loss of an average row by a unit of squared distance, and λ the loss that a bit is worth. Codewords
are the weighted means of their categories as ever, and bits follow from their numbers (Chou, Lookabaugh and Gray,
1989). Rare categories, with small w_i, so take common codewords. One that saves less than λ times the bits of its
own numbers is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmcompress.types import BoolArray, Float32Array, Float64Array, Int64Array

_BLOCK_COSTS = 2**20
_LARGEST_PRICE = 1e18
# Of all codewords, this share at most is left out at a time: what others save changes with each.
_LEFT_OUT = 1 / 8


@dataclass(frozen=True)
class Rated:
    """Codewords and their bits.

    Attributes:
        centroids: float32 (k, d).
        rates: bits b_k of the code of each, float32 (k,).
        bits: of the codes of all points.
    """

    centroids: Float32Array
    rates: Float32Array
    bits: float


def rated_codes(points: Float32Array, prices: Float64Array, rated: Rated) -> Int64Array:
    """Return the codeword of each point, int64 (n,): the least squared distance plus price times bits.

    Args:
        points: float32 (n, d), of ordinary size.
        prices: what a bit costs each point, in squared distances, float64 (n,).
        rated: the codewords.
    """
    found = np.zeros(len(points), dtype=np.int64)
    if len(rated.centroids) > 1:
        for rows, costs in _costs(points, prices, rated):
            np.argmin(costs, axis=1, out=found[rows])
    return found


def constrained(
    points: Float32Array, weights: Float64Array, start: Rated, price: float, *, number_bits: float, rounds: int
) -> Rated:
    """Return codewords, at most as many as there are, that cost least in loss and bits together.

    Args:
        points: float32 (n, d), of ordinary size.
        weights: w_i, the loss by a unit of squared distance from each, float64 (n,).
        start: codewords to start from.
        price: λ, the loss that a bit is worth.
        number_bits: bits of a coordinate of a codeword, per point.
        rounds: iterations.
    """
    prices, own, worth = bit_prices(weights, price), start, price * number_bits * points.shape[1]
    for number in range(rounds):
        if worth > 0 and number and len(own.centroids) > 1:
            codes, saved = _codes_and_savings(points, prices, own)
            own, codes = _without_idle(own, codes, weights * saved, worth)
            lost = np.flatnonzero(codes < 0)
            codes[lost] = rated_codes(points[lost], prices[lost], own)
        else:
            codes = rated_codes(points, prices, own)
        own = _moved(points, weights, own.centroids, codes)
    return own


def bit_prices(weights: Float64Array, price: float) -> Float64Array:
    """Return what a bit costs each point in squared distances, λ / w_i, float64 (n,), of weights, float64 (n,)."""
    if price == 0:
        return np.zeros(len(weights))
    return np.minimum(price / np.maximum(weights, np.finfo(np.float64).tiny), _LARGEST_PRICE)


def of_equal_rates(centroids: Float32Array) -> Rated:
    """Return centroids, float32 (k, d), whose codes take equally many bits."""
    return Rated(centroids, np.zeros(len(centroids), dtype=np.float32), 0.0)


def _moved(points: Float32Array, weights: Float64Array, centroids: Float32Array, codes: Int64Array) -> Rated:
    """Return the codewords that points have, in their middle, with their bits."""
    counts = np.bincount(codes, minlength=len(centroids))
    totals = np.bincount(codes, weights, len(centroids))
    sums = np.stack([np.bincount(codes, weights * column, len(centroids)) for column in points.T], axis=1)
    filled = totals[:, None] > 0
    means = np.where(filled, sums / np.where(filled, totals[:, None], 1), centroids)
    kept = counts > 0
    rates = -np.log2(counts[kept] / len(codes))
    return Rated(means[kept].astype(np.float32), rates.astype(np.float32), float(counts[kept] @ rates))


def _without_idle(own: Rated, codes: Int64Array, savings: Float64Array, worth: float) -> tuple[Rated, Int64Array]:
    """Return the codewords without those that save less than their own numbers are worth, and the codes of these.

    Args:
        own: the codewords.
        codes: of each point, int64 (n,); what is returned has -1 where the codeword is left out.
        savings: what the second best one would cost more, float64 (n,).
        worth: of a codeword's numbers.
    """
    size = len(own.centroids)
    saved = np.bincount(codes, savings, size)
    idle = np.flatnonzero(saved < worth)
    most = max(1, int(size * _LEFT_OUT))
    idle = idle[np.argsort(saved[idle], kind="stable")][: min(most, size - 1)]
    kept: BoolArray = np.ones(size, dtype=np.bool_)
    kept[idle] = False
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    return Rated(own.centroids[kept], own.rates[kept], own.bits), number[codes]


def _codes_and_savings(points: Float32Array, prices: Float64Array, own: Rated) -> tuple[Int64Array, Float64Array]:
    """Return the codeword of each point, int64 (n,), and how much more the second best would cost, float64 (n,)."""
    codes, found = np.zeros(len(points), dtype=np.int64), np.empty(len(points))
    for rows, costs in _costs(points, prices, own):
        np.argmin(costs, axis=1, out=codes[rows])
        places = np.arange(len(costs)), codes[rows]
        mine = costs[places]
        costs[places] = np.inf
        found[rows] = costs.min(axis=1) - mine
    return codes, found


def _costs(points: Float32Array, prices: Float64Array, rated: Rated) -> Iterator[tuple[slice, Float32Array]]:
    """Yield ‖c‖² − 2 x·c + price · bits of some points with all codewords, float32 (rows, k), and which these are."""
    centre = rated.centroids.mean(axis=0)
    turned = rated.centroids - centre
    columns = [-2 * turned, np.square(turned).sum(axis=1, keepdims=True), rated.rates[:, None]]
    right = np.ascontiguousarray(np.concatenate(columns, axis=1).T)
    step = max(16, _BLOCK_COSTS // len(turned))
    for first in range(0, len(points), step):
        rows = slice(first, min(first + step, len(points)))
        some = points[rows] - centre
        left = [some, np.ones((len(some), 1), np.float32), prices[rows, None].astype(np.float32)]
        yield rows, np.concatenate(left, axis=1) @ right
