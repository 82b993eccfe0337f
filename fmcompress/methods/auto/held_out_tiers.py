"""Tiers as held-out rows see them: the categories in them, and nested codebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from fmcompress.artifact.numbers import tables_as_stored
from fmcompress.fm.bags import Bag
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import MISSING
from fmcompress.methods.auto.candidates import (
    USUAL_BITS,
    TierCandidates,
    WeightsCandidate,
    codebook_candidates,
    thinned_embeddings,
)
from fmcompress.methods.auto.nested_codebooks import NestedCodebooks, nested_codebooks, nested_linear_codebooks
from fmcompress.methods.auto.rate_distortion import candidate_subspaces
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.types import Float32Array, Int32Array, Int64Array, UInt8Array

METRICS: tuple[Metric, ...] = ("fm", "euclidean")
"""Codebooks of candidates are made in each of these; the loss decides."""

_CANDIDATES_PER_SUBSPACES = 10


@dataclass
class SeenCategories:
    """The categories of a field that the rows hold, with their weights as they are at present.

    Attributes:
        field: weights of all categories.
        categories: those, rising, int32 (n,).
        rows: the rows that have a value, int64 (m,); a row comes once for each value in it.
        columns: place of the field in ``Schema.id_names`` that has each value, int64 (m,).
        place: of their categories among those, int64 (m,).
        ends: end in ``rows`` of those of each field with one value that shares the table.
        embeddings: at present, float32 (n, dim).
        linear: at present, float32 (n,).
        pooled: how the values are pooled; None where each is a term of its own.
    """

    field: FieldWeights
    categories: Int32Array
    rows: Int64Array
    columns: Int64Array
    place: Int64Array
    ends: list[int]
    embeddings: Float32Array
    linear: Float32Array
    pooled: PooledTerms | None = None

    def by_use(self) -> Iterator[slice]:
        """Yield which of ``rows`` and ``place`` belong to each field that shares the table: no row comes twice."""
        for start, end in pairwise([0, *self.ends]):
            yield slice(start, end)

    def terms(self) -> tuple[Int64Array, Float32Array, Float32Array]:
        """Return the terms of rows: rows, int64 (t,), embeddings, float32 (t, dim), linear weights, float32 (t,)."""
        vectors, linear = self.embeddings[self.place], self.linear[self.place]
        if self.pooled is None:
            return self.rows, vectors, linear
        pooled = self.pooled
        summed = (pooled.summed(vectors * pooled.embedding[:, None]), pooled.summed(linear * pooled.linear))
        return self.rows[pooled.starts], *summed

    @property
    def term_columns(self) -> Int64Array:
        """Place of the field in ``Schema.id_names`` that has each term, int64 (t,)."""
        return self.columns if self.pooled is None else self.columns[self.pooled.starts]

    def others(self, sums: Float32Array, own: Int64Array) -> Float32Array:
        """Return what logits change by with the embeddings of some values, float32 (n, dim).

        Args:
            sums: S, float32 (rows, dim).
            own: these values, int64 (n,).
        """
        if self.pooled is None:
            return np.asarray(sums[self.rows[own]] - self.embeddings[self.place[own]])
        _, vectors, _ = self.terms()
        rest = sums[self.rows[own]] - vectors[self.pooled.term[own]]
        return np.asarray(self.pooled.embedding[own, None] * rest)

    def tiers(self, of: UInt8Array) -> Iterator[SeenTier]:
        """Yield the tiers of the field, ``of`` being that of each category, uint8 (cardinality,)."""
        for tier in range(int(of.max()) + 1):
            own = np.flatnonzero(of == tier)
            places = np.flatnonzero(of[self.categories] == tier)
            yield SeenTier(self.field.take(own), np.searchsorted(own, self.categories[places]), places)


@dataclass(frozen=True)
class PooledTerms:
    """How values are pooled into terms: one of each bag, or of each value where these are terms of their own.

    Attributes:
        starts: first value of each term, int64 (t,).
        embedding: what the embedding of each value is multiplied by, float32 (m,).
        linear: what its linear weight is multiplied by, float32 (m,).
    """

    starts: Int64Array
    embedding: Float32Array
    linear: Float32Array

    @cached_property
    def term(self) -> Int64Array:
        """Term of each value, int64 (m,)."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.embedding)))

    def summed(self, values: Float32Array) -> Float32Array:
        """Return the sums over the values of each term, float32 (t, …), of values, float32 (m, …)."""
        return np.add.reduceat(values, self.starts) if len(values) else values


def seen_categories(
    field: FieldWeights,
    ids: Int32Array,
    rows: int,
    uses: Int64Array,
    bags: Sequence[tuple[Bag, Pooling, int]] = (),
) -> SeenCategories:
    """Return the categories of a field that rows hold, with the factorization machine's own weights.

    Args:
        field: weights of all categories.
        ids: of the stacked rows, -1 where a value is missing, int32 (uses · rows,).
        rows: number of rows.
        uses: places in ``Schema.id_names`` of the fields that look these up, int64 (uses,).
        bags: of those of them with several values in a row, their pooling and their place.
    """
    present = np.flatnonzero(ids != MISSING)
    ends = np.searchsorted(present, np.arange(1, len(ids) // rows + 1) * rows).tolist()
    of_rows = np.concatenate([present % rows, *(bag.rows for bag, *_ in bags)])
    values = np.concatenate([ids[present], *(bag.ids for bag, *_ in bags)])
    columns = np.concatenate([uses[present // rows], *(np.full(len(bag.ids), place) for bag, _, place in bags)])
    categories, place = np.unique(values, return_inverse=True)
    own = field.embeddings[categories], field.linear[categories]
    pooled = _pooled_terms(len(present), bags) if bags else None
    return SeenCategories(field, categories, of_rows, columns, place, ends, *own, pooled)


def _pooled_terms(single: int, bags: Sequence[tuple[Bag, Pooling, int]]) -> PooledTerms:
    """Return the terms of so many single values, and of those of bags behind them."""
    starts, ones = [np.arange(single)], np.ones(single, dtype=np.float32)
    embedding, linear, end = [ones], [ones], single
    for bag, pooling, _ in bags:
        first = np.arange(len(bag.ids)) if pooling.each else bag.starts[:-1][bag.counts > 0]
        starts.append(end + first)
        factors = bag.coefficients(pooling)
        embedding.append(factors[0])
        linear.append(factors[1])
        end += len(bag.ids)
    return PooledTerms(np.concatenate(starts), np.concatenate(embedding), np.concatenate(linear))


@dataclass(frozen=True)
class SeenTier:
    """A tier of a field, or all of it, and those of its categories that the rows hold.

    Attributes:
        weights: of all its categories.
        members: its seen categories, by their number in the tier, int64 (n,).
        places: of these among all seen categories of the field, int64 (n,).
    """

    weights: FieldWeights
    members: Int64Array
    places: Int64Array

    def works(self, seed: int) -> list[Callable[[], NestedCodebooks]]:
        """Return what makes its codebooks: those of the embeddings, then those of the linear weights."""
        embeddings = [
            partial(nested_codebooks, self.weights, subspaces, self.members, metric, seed=seed)
            for metric in METRICS
            for subspaces in candidate_subspaces(self.weights.dim)
        ]
        return [*embeddings, partial(nested_linear_codebooks, self.weights, self.members, seed=seed)]


@dataclass(frozen=True)
class TierCodebooks:
    """A tier, its nested codebooks, and the candidates for its embeddings that they allow."""

    tier: SeenTier
    nested: tuple[NestedCodebooks, ...]
    linear: NestedCodebooks
    candidates: tuple[WeightsCandidate, ...]
    compact: bool

    @classmethod
    def of(cls, tier: SeenTier, made: Sequence[NestedCodebooks], *, compact: bool) -> TierCodebooks:
        """Return the tier with the most promising sizes of each number of subspaces."""
        *nested, linear = made
        weights = tier.weights
        bits, shape = USUAL_BITS[compact], (weights.cardinality, weights.dim)
        sizes = [list(codebook_candidates(n.distortion, *shape, n.metric, bits=bits)) for n in nested]
        coded = [one for found in sizes for one in thinned_embeddings(found, weights, _CANDIDATES_PER_SUBSPACES)]
        return cls(tier, tuple(nested), linear, (WeightsCandidate((), 0.0), *coded), compact)

    @property
    def linear_sizes(self) -> list[tuple[int, ...]]:
        """The candidates for the linear weights: raw, or so many codewords."""
        return [(), *((size,) for size in self.linear.distortion.sizes)]

    def codebooks_of(self, candidate: WeightsCandidate) -> NestedCodebooks:
        """Return the nested codebooks of a candidate that is not raw."""
        made = candidate.metric, len(candidate.codewords)
        return next(nested for nested in self.nested if (nested.metric, len(nested.by_size)) == made)

    def decoded(self, candidate: WeightsCandidate, quantizer: Quantizer | None = None) -> Float32Array:
        """Return the embeddings of the seen categories as a candidate has them, float32 (n, dim).

        Args:
            candidate: which of them.
            quantizer: how it is stored, for numbers of few bits as they are read back; None leaves them as they are.
        """
        few = quantizer if quantizer is not None and quantizer.common_scale else None
        if candidate.codewords:
            return self.codebooks_of(candidate).decoded(candidate.codewords, few)
        members = self.tier.weights.embeddings[self.tier.members]
        return members if few is None else tables_as_stored([members], few)[0]

    def decoded_linear(self, codewords: tuple[int, ...]) -> Float32Array:
        """Return the linear weights of the seen categories with so many codewords, float32 (n,)."""
        if not codewords:
            return self.tier.weights.linear[self.tier.members]
        return self.linear.decoded(codewords)[:, 0]

    def expected(self) -> TierCandidates:
        """Return the candidates of the tier with the expected loss of each."""
        return TierCandidates.of(
            self.tier.weights,
            (
                replace(one, error=self.codebooks_of(one).expected(one.codewords)) if one.codewords else one
                for one in self.candidates
            ),
            (WeightsCandidate(size, self.linear.expected(size) if size else 0.0) for size in self.linear_sizes),
            compact=self.compact,
        )
