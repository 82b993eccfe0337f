"""Tiers as held-out rows see them: the categories in them, nested codebooks, and what these do to logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.fm.schema import MISSING
from fmcompress.methods.auto.candidates import TierCandidates, WeightsCandidate, codebook_candidates, thinned_embeddings
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
        rows: the rows that have a value, int64 (m,); a row comes once for each field that shares the table.
        place: of their categories among those, int64 (m,).
        ends: end in ``rows`` of those of each field that shares the table.
        embeddings: at present, float32 (n, dim).
        linear: at present, float32 (n,).
    """

    field: FieldWeights
    categories: Int32Array
    rows: Int64Array
    place: Int64Array
    ends: list[int]
    embeddings: Float32Array
    linear: Float32Array

    def by_use(self) -> Iterator[slice]:
        """Yield which of ``rows`` and ``place`` belong to each field that shares the table: no row comes twice."""
        for start, end in pairwise([0, *self.ends]):
            yield slice(start, end)

    def tiers(self, of: UInt8Array) -> Iterator[SeenTier]:
        """Yield the tiers of the field, ``of`` being that of each category, uint8 (cardinality,)."""
        for tier in range(int(of.max()) + 1):
            own = np.flatnonzero(of == tier)
            places = np.flatnonzero(of[self.categories] == tier)
            yield SeenTier(self.field.take(own), np.searchsorted(own, self.categories[places]), places)


def seen_categories(field: FieldWeights, ids: Int32Array, rows: int) -> SeenCategories:
    """Return the categories of a field that rows hold, with the factorization machine's own weights.

    Args:
        field: weights of all categories.
        ids: of the stacked rows, -1 where a value is missing, int32 (uses · rows,).
        rows: number of rows.
    """
    present = np.flatnonzero(ids != MISSING)
    categories, place = np.unique(ids[present], return_inverse=True)
    ends = np.searchsorted(present, np.arange(1, len(ids) // rows + 1) * rows).tolist()
    return SeenCategories(
        field, categories, present % rows, place, ends, field.embeddings[categories], field.linear[categories]
    )


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

    @classmethod
    def of(cls, tier: SeenTier, made: Sequence[NestedCodebooks]) -> TierCodebooks:
        """Return the tier with the most promising sizes of each number of subspaces."""
        *nested, linear = made
        weights = tier.weights
        sizes = [list(codebook_candidates(n.distortion, weights.cardinality, weights.dim, n.metric)) for n in nested]
        coded = [one for found in sizes for one in thinned_embeddings(found, weights, _CANDIDATES_PER_SUBSPACES)]
        return cls(tier, tuple(nested), linear, (WeightsCandidate((), 0.0), *coded))

    @property
    def linear_sizes(self) -> list[tuple[int, ...]]:
        """The candidates for the linear weights: raw, or so many codewords."""
        return [(), *((size,) for size in self.linear.distortion.sizes)]

    def codebooks_of(self, candidate: WeightsCandidate) -> NestedCodebooks:
        """Return the nested codebooks of a candidate that is not raw."""
        made = candidate.metric, len(candidate.codewords)
        return next(nested for nested in self.nested if (nested.metric, len(nested.by_size)) == made)

    def decoded(self, candidate: WeightsCandidate) -> Float32Array:
        """Return the embeddings of the seen categories as a candidate has them, float32 (n, dim)."""
        if not candidate.codewords:
            return self.tier.weights.embeddings[self.tier.members]
        return self.codebooks_of(candidate).decoded(candidate.codewords)

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
        )


@dataclass(frozen=True)
class RowUses:
    """The rows that a tier is in, once each, though fields that share its table may bring it in several times.

    Where a row has it twice, with shifts d and d' of the two embeddings, the logit moves by d · d' more than by both
    alone.

    Attributes:
        rows: these rows, int64 (n,).
        place: of each use among them, int64 (uses,).
    """

    rows: Int64Array
    place: Int64Array

    @property
    def once(self) -> bool:
        """Whether no row has the tier twice."""
        return len(self.rows) == len(self.place)

    def summed(self, values: Float32Array) -> Float32Array:
        """Return the sum over its uses for each row, (n,), of values of each use, float32 (uses,)."""
        if self.once:
            return values
        return np.asarray(np.bincount(self.place, values, len(self.rows)))

    def products(self, shifts: Callable[[], Float32Array]) -> Float32Array | float:
        """Return the sum of d · d' over pairs of uses for each row, (n,); ``shifts`` makes d, float32 (uses, dim)."""
        if self.once:
            return 0.0
        own = shifts()
        total = np.zeros((len(self.rows), own.shape[1]))
        np.add.at(total, self.place, own)
        squares = np.einsum("rl,rl->r", total, total) - self.summed(np.einsum("rl,rl->r", own, own))
        return np.asarray(0.5 * squares)


def row_uses(rows: Int64Array) -> RowUses:
    """Return the distinct rows among those of all uses, int64 (uses,)."""
    return RowUses(*np.unique(rows, return_inverse=True))


@dataclass(frozen=True)
class LogitShifts:
    """What candidates for the embeddings of a tier do to the logits of the rows that it is in.

    Attributes:
        codebooks: of the tier.
        number: of each row's category among those of the tier that are seen, int64 (rows,).
        current: its weights as they are at present, float32 (rows, dim).
        others: S less that, float32 (rows, dim).
    """

    codebooks: TierCodebooks
    number: Int64Array
    current: Float32Array
    others: Float32Array
    _products: dict[tuple[Metric, int, int, int], Float32Array] = field(default_factory=dict)

    @cached_property
    def _before(self) -> Float32Array:
        """The product of the current embedding with the others, float32 (rows,)."""
        return np.asarray(np.einsum("rl,rl->r", self.current, self.others))

    def of(self, candidate: WeightsCandidate) -> Float32Array:
        """Return (q_i − current) · others of each row, float32 (rows,)."""
        if not candidate.codewords:
            vectors = self.codebooks.decoded(candidate)[self.number]
            return np.asarray(np.einsum("rl,rl->r", vectors, self.others) - self._before)
        total = -self._before
        for subspace in range(len(candidate.codewords)):
            total = total + self._product(candidate, subspace)
        return total

    def vectors(self, candidate: WeightsCandidate) -> Float32Array:
        """Return q_i − current of each row, float32 (rows, dim)."""
        return np.asarray(self.codebooks.decoded(candidate)[self.number] - self.current)

    def _product(self, candidate: WeightsCandidate, subspace: int) -> Float32Array:
        """Return the codewords' product with the others in one subspace, float32 (rows,)."""
        subspaces, size = len(candidate.codewords), candidate.codewords[subspace]
        key = candidate.metric, subspaces, subspace, size
        if key not in self._products:
            start, end = subspace_bounds(self.others.shape[1], subspaces)[subspace]
            codebook = self.codebooks.codebooks_of(candidate).by_size[subspace][size]
            vectors = codebook.decoded()[self.number]
            self._products[key] = np.einsum("rl,rl->r", vectors, self.others[:, start:end])
        return self._products[key]
