"""Codebooks of all tiers at one price of a bit, the least one at which the file fits its size.

A codebook starts with several times as many codewords as are planned. The price rises until all of them, with the
codes that are entropy coded, take what there is room for: at each price codewords move, and those that do not pay are
left out (see ``rated_kmeans``). A bit costs the same wherever it is: in codes of embeddings and of linear weights, and
in the numbers of codewords.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fmcompress.fm.quantized_fm import QuantizedField
from fmcompress.fm.quantizer import MAX_CODEWORDS, Quantizer, code_bits
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.codebooks import (
    Choice,
    Codebook,
    Coder,
    as_stored,
    encoded,
    linear_table,
    points_of,
    subspaces_of,
)
from fmcompress.quantization.drawn_categories import drawn_categories
from fmcompress.quantization.field_weights import FieldWeights, Metric, Subspace
from fmcompress.quantization.kmeans import nearest, power_of, times, train_centroids
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.rated_kmeans import Rated, constrained, of_equal_rates
from fmcompress.types import Float32Array, Float64Array, Int64Array

_GROWTH = 4
_LEAST_CODEWORDS = 4
_LEAST_CATEGORIES = 4
"""Categories of a codeword, on average, at least."""
_MOST_POINTS = 12_288
_START_ROUNDS = 5
_ROUNDS = 4
_DOUBLINGS = 40
_BISECTIONS = 5
# What is left unused at most, in shares of what there is room for.
_UNUSED = 0.001
_TRIES = 4
_LEAST_RATIO = 0.1
_MANY, _TRIES_OF_MANY = 2**20, 2
_LINEAR_BITS = 8
_EMPTY = np.empty(0, dtype=np.float32)


@dataclass(frozen=True)
class _Book:
    """A codebook that is made, of a subspace or of linear weights.

    Attributes:
        subspace: whose it is; None for linear weights.
        points: sub-vectors of some categories or of all, whitened, of ordinary size, float32 (n, size).
        power: of two, by which they are multiplied.
        weights: loss by a unit of squared distance from each, float64 (n,).
        shares: of the rows, of all categories, or what takes their place, float64 (cardinality,).
        factor: loss by a unit of squared distance, not multiplied, from a category that has all rows.
        share: categories for each point.
        number_bits: bits of a number in the file.
        start: where codewords start.
    """

    subspace: Subspace | None
    points: Float32Array
    power: int
    weights: Float64Array
    shares: Float64Array
    factor: float
    share: float
    number_bits: int
    start: Rated

    def at(self, start: Rated, price: float, rounds: int) -> Rated:
        """Return the codewords at a price of a bit, from those at another one; one round leaves none out."""
        number_bits = self.number_bits / self.share
        return constrained(self.points, self.weights, start, price, number_bits=number_bits, rounds=rounds)

    def bytes_of(self, rated: Rated) -> float:
        """Return about what codes and codewords take in the file."""
        size = len(rated.centroids)
        described = code_bits(size) + 1 if size > 1 else 0
        return (self.share * rated.bits + self.number_bits * rated.centroids.size) / 8 + described

    def distortion(self) -> float:
        """Return the loss by the codebook that is started from."""
        squares, _ = nearest(self.points, self.start.centroids)
        return self.share * float(self.weights @ squares)

    def codewords(self, rated: Rated) -> Float32Array:
        """Return codewords as they are whitened, float32 (k, size)."""
        return times(rated.centroids, -self.power) if self.power else rated.centroids

    def choice(self, rated: Rated, price: float) -> Choice:
        """Return how categories choose among codewords."""
        bit = price / max(self.factor, np.finfo(np.float64).tiny)
        return Choice(replace(rated, centroids=self.codewords(rated)), self.shares, bit)


@dataclass(frozen=True)
class _Priced:
    """All codebooks at a price of a bit, and about what they take in the file."""

    price: float
    books: list[Rated]
    size: float


class RatedCodebooks:
    """The codebooks of all tiers, at any price of a bit."""

    def __init__(
        self,
        weights: Sequence[FieldWeights],
        quantizers: Sequence[Quantizer],
        metrics: Sequence[Metric],
        *,
        seed: int,
        progress: Progress = SILENT,
    ) -> None:
        """Make codebooks to start from.

        Args:
            weights: of each tier, and what errors in them cost.
            quantizers: of each tier; numbers of codewords are where they start.
            metrics: in which codebooks are made.
            seed: of k-means.
            progress: told of each codebook.
        """
        self._weights, self._quantizers, self._seed, self._progress = weights, quantizers, seed, progress
        works = [
            work
            for tier, quantizer, metric in zip(weights, quantizers, metrics, strict=True)
            for work in _works(tier, quantizer, metric, seed)
        ]
        self._books = list(side_by_side(works, title="making codebooks", progress=progress))
        starts = [book.start for book in self._books]
        self._found = [_Priced(0.0, starts, self._size(starts))]

    @property
    def categories(self) -> int:
        """Number of categories of all tiers."""
        return sum(tier.cardinality for tier in self._weights)

    @property
    def fixed_bytes(self) -> float:
        """About what planned codebooks and codes of fixed widths take, of those that are made here."""
        return float(sum(map(_planned_bytes, self._weights, self._quantizers)))

    def within(self, size: float) -> _Priced | None:
        """Return the codebooks at the least price found at which they take at most so many bytes; None if at none."""
        price = self._first_price()
        for _ in range(_DOUBLINGS):
            if self._at(price).size <= size:
                break
            price *= 2
        else:
            return None
        fitting, dear = self._at(price), price / 2
        for _ in range(_BISECTIONS):
            if fitting.size >= (1 - _UNUSED) * size:
                return fitting
            tried = self._at(math.sqrt(fitting.price * dear))
            if tried.size <= size:
                fitting = tried
            else:
                dear = tried.price
        return self._filled(fitting, size)

    def _filled(self, found: _Priced, size: float) -> _Priced:
        """Return as many codewords, with codes at a price that is lower by so much that they fill so many bytes."""
        least, most, books = found.price / 4, found.price, found.books
        for _ in range(_BISECTIONS):
            if found.size >= (1 - _UNUSED) * size:
                break
            tried = self._moved(books, math.sqrt(least * most), rounds=1)
            if tried.size <= size:
                found, most = tried, tried.price
            else:
                least = tried.price
        return found

    def quantized(self, found: _Priced) -> tuple[QuantizedField, ...]:
        """Return all tiers with these codebooks, and the codes that categories choose at their price."""
        made = iter(zip(self._books, found.books, strict=True))
        coders = []
        for tier, quantizer in zip(self._weights, self._quantizers, strict=True):
            own = [next(made) for _ in quantizer.codewords]
            codebooks = tuple(
                _codebook(book, book.subspace, rated, found.price) for book, rated in own if book.subspace is not None
            )
            table, choice, size = _EMPTY, None, quantizer.linear_codewords
            if size > 1:
                book, rated = next(made)
                table, choice = book.codewords(rated)[:, 0], book.choice(rated, found.price)
                size = len(table)
            else:
                table = linear_table(tier, quantizer, self._seed)
            codewords = tuple(len(codebook.table) for codebook in codebooks)
            made_of = replace(quantizer, codewords=codewords, linear_codewords=size)
            if set(codewords) == {1}:  # one codeword each is one vector for all
                made_of, codebooks = replace(made_of, codewords=(1,)), (_joined(codebooks),)
            else:
                codebooks = as_stored(codebooks, made_of)
            coders.append(Coder(tier, made_of, codebooks, table, choice))
        return encoded(coders, progress=self._progress)

    def _size(self, books: Sequence[Rated]) -> float:
        return sum(book.bytes_of(rated) for book, rated in zip(self._books, books, strict=True))

    def _first_price(self) -> float:
        """Return a small price: that of an average bit, by far, for what the last ones do."""
        loss = sum(book.distortion() for book in self._books)
        return max(loss, np.finfo(np.float64).tiny * 1e6) / (8 * max(1.0, self._found[0].size)) / 4

    def _at(self, price: float) -> _Priced:
        """Return all codebooks at a price, from those at the next smaller one that is known."""
        below = max((known for known in self._found if known.price <= price), key=lambda known: known.price)
        if below.price == price:
            return below
        self._found.append(self._moved(below.books, price, rounds=_ROUNDS))
        return self._found[-1]

    def _moved(self, starts: Sequence[Rated], price: float, *, rounds: int) -> _Priced:
        works = [partial(book.at, start, price, rounds) for book, start in zip(self._books, starts, strict=True)]
        books = list(side_by_side(works, title="making codebooks", progress=SILENT))
        return _Priced(price, books, self._size(books))


def fit_within(
    codebooks: RatedCodebooks, budget_bytes: int, fixed_bytes: int, size_of: Callable[[tuple[QuantizedField, ...]], int]
) -> tuple[QuantizedField, ...] | None:
    """Return tiers whose file fills a budget, never more; None where no price of a bit brings that about.

    Args:
        codebooks: of all tiers.
        budget_bytes: what the file may take.
        fixed_bytes: what it would take with the codebooks that are planned and codes of fixed widths.
        size_of: returns the exact size of the file.
    """
    rest = fixed_bytes - codebooks.fixed_bytes
    best, largest, ratio = None, -1, 1.0
    for _ in range(_TRIES if codebooks.categories < _MANY else _TRIES_OF_MANY):
        found = codebooks.within((budget_bytes - rest) / ratio)
        if found is None or found.size <= 0:
            break
        fields = codebooks.quantized(found)
        size = size_of(fields)
        if largest < size <= budget_bytes:
            best, largest = fields, size
        if (1 - 3 * _UNUSED) * budget_bytes <= size <= budget_bytes:
            break
        # Numbers are coded too, and codes not quite as well as their entropy says.
        ratio = max((size - rest + _UNUSED * budget_bytes * (size > budget_bytes)) / found.size, _LEAST_RATIO)
    return best


def _works(tier: FieldWeights, quantizer: Quantizer, metric: Metric, seed: int) -> list[Callable[[], _Book]]:
    """Return what makes the codebooks of a tier to start from."""
    made = tier.in_metric(metric)
    # In plain distance all categories are alike: the loss by each is that of an average one, whatever its direction.
    plain = None if metric == "fm" else float(np.trace(tier.hessian)) / tier.dim * float(tier.frequencies.mean())
    grown = [
        partial(_embedding_book, made, subspace, size, quantizer.value_bits, plain, seed)
        for subspace, size in zip(subspaces_of(made, quantizer), quantizer.codewords, strict=True)
    ]
    if quantizer.linear_codewords > 1:
        grown.append(partial(_linear_book, tier, quantizer.linear_codewords, quantizer.value_bits, seed))
    return list(grown)


def _embedding_book(
    made: FieldWeights, subspace: Subspace, size: int, number_bits: int, plain: float | None, seed: int
) -> _Book:
    shares = made.frequencies if plain is None else np.broadcast_to(1.0, made.cardinality)
    factor = 0.5 * (subspace.scale if plain is None else plain)
    drawn = _drawn(made.cardinality, seed)
    points = points_of(made, subspace, seed, drawn)
    return _book(subspace, points, made.frequencies[drawn], (shares, factor), drawn, size, number_bits, seed)


def _linear_book(tier: FieldWeights, size: int, number_bits: int, seed: int) -> _Book:
    drawn = _drawn(tier.cardinality, seed)
    costs = tier.frequencies, 0.5 * tier.curvature
    points, number_bits = tier.linear[drawn, None], max(_LINEAR_BITS, number_bits)
    return _book(None, points, tier.frequencies[drawn], costs, drawn, size, number_bits, seed)


def _drawn(cardinality: int, seed: int) -> Int64Array:
    if cardinality <= _MOST_POINTS:
        return np.arange(cardinality)
    return drawn_categories(cardinality, _MOST_POINTS, seed=seed)


def _book(
    subspace: Subspace | None,
    points: Float32Array,
    weights: Float64Array,
    costs: tuple[Float64Array, float],
    drawn: Int64Array,
    size: int,
    number_bits: int,
    seed: int,
) -> _Book:
    """Return a codebook to start from.

    Args:
        subspace: whose it is; None for linear weights.
        points: of the drawn categories, float32 (n, size).
        weights: theirs in k-means, float64 (n,).
        costs: shares of all categories, float64 (cardinality,), and the loss by a unit of squared distance.
        drawn: the categories, int64 (n,).
        size: planned number of codewords.
        number_bits: bits of a number in the file.
        seed: of k-means.
    """
    power = power_of(points)
    points, own = (times(points, power) if power else points), np.ldexp(costs[1] * costs[0][drawn], -2 * power)
    grown = min(max(_LEAST_CODEWORDS, _GROWTH * size), MAX_CODEWORDS, len(points) // _LEAST_CATEGORIES)
    grown = max(1, grown, min(size, len(points)))
    if grown == 1:
        centroids = np.average(points, axis=0, weights=weights).astype(np.float32)[None]
    elif grown == len(points):
        centroids = points
    else:
        shares = weights.astype(np.float32)
        centroids = train_centroids(points, shares, grown, seed=seed, iterations=_START_ROUNDS)
    start = constrained(points, own, of_equal_rates(centroids), 0.0, number_bits=0, rounds=1)
    share = len(costs[0]) / len(points)
    return _Book(subspace, points, power, own, *costs, share, number_bits, start)


def _codebook(book: _Book, subspace: Subspace, rated: Rated, price: float) -> Codebook:
    centroids = book.codewords(rated)
    return Codebook(subspace, centroids, subspace.codewords(centroids), book.choice(rated, price))


def _joined(codebooks: tuple[Codebook, ...]) -> Codebook:
    """Return one codeword of all subspaces; it has no choice, and no centroid that anything is held against."""
    table = np.concatenate([codebook.table for codebook in codebooks], axis=1)
    return Codebook(codebooks[0].subspace, table, table)


def _planned_bytes(tier: FieldWeights, quantizer: Quantizer) -> float:
    """Return what planned codebooks and codes of a tier take: codes of fixed widths, and no raw numbers."""
    numbers = 0 if quantizer.raw else quantizer.embedding_values(tier.cardinality, tier.dim)
    numbers += quantizer.linear_codewords if quantizer.linear_codewords > 1 else 0
    return quantizer.code_bytes(tier.cardinality) + quantizer.value_bits * numbers / 8
