"""What candidates for the embeddings of a tier do to the logits of the rows that it is in, for many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.auto.candidates import WeightsCandidate
from fmcompress.methods.auto.held_out_tiers import SeenCategories, TierCodebooks
from fmcompress.types import Float32Array, Int64Array

# Numbers of decoded embeddings, of some categories by many candidates, that are held at a time.
_BLOCK_NUMBERS = 2**22
# Shifts, of all uses by some candidates, that are held at a time.
_MOST_SHIFTS = 2**23


@dataclass(frozen=True)
class RowUses:
    """The rows that a tier is in, once each, though its table may be looked up several times in a row.

    Where a row has it in two terms, with shifts d and d' of the two, the logit moves by d · d' more than by both alone.

    Attributes:
        rows: these rows, int64 (n,); in the order of the uses where no row has two.
        place: of each use among them, int64 (uses,).
        term: of each use, int64 (uses,); None where each is a term of its own.
        factors: what the embedding of each use is multiplied by, float32 (uses,); None where it is 1.
    """

    rows: Int64Array
    place: Int64Array
    term: Int64Array | None = None
    factors: Float32Array | None = None

    @property
    def once(self) -> bool:
        """Whether no row has the tier twice."""
        return len(self.rows) == len(self.place)

    def summed(self, values: Float32Array) -> Float32Array:
        """Return the sums over its uses for each row, float32 (n, c), of values of each use, float32 (uses, c)."""
        if self.once:
            return values
        sums = [np.bincount(self.place, own, len(self.rows)) for own in values.T]
        return np.stack(sums, axis=1).astype(np.float32)

    def products(self, shifts: Callable[[], Float32Array]) -> Float32Array | float:
        """Return the sum of d · d' over pairs of terms for each row, (n,).

        Args:
            shifts: makes what the embedding of each use moves by, float32 (uses, dim).
        """
        if self.once or (self.terms is not None and len(self.terms[0]) == len(self.rows)):
            return 0.0
        own, place = shifts(), self.place
        if self.factors is not None:
            own = own * self.factors[:, None]
        if self.terms is not None:
            firsts, term = self.terms
            place, uses = place[firsts], own
            own = np.zeros((len(firsts), own.shape[1]), dtype=np.float32)
            np.add.at(own, term, uses)
        total = np.zeros((len(self.rows), own.shape[1]))
        np.add.at(total, place, own)
        norms = np.bincount(place, np.einsum("rl,rl->r", own, own), len(self.rows))
        return np.asarray(0.5 * (np.einsum("rl,rl->r", total, total) - norms))

    @cached_property
    def terms(self) -> tuple[Int64Array, Int64Array] | None:
        """First use of each term, int64 (t,), and term of each use, int64 (uses,), counted anew."""
        return None if self.term is None else np.unique(self.term, return_index=True, return_inverse=True)[1:]


def row_uses(seen: SeenCategories, own: Int64Array) -> RowUses:
    """Return the distinct rows of some values of a field, int64 (uses,)."""
    rows = seen.rows[own]
    found, place = np.unique(rows, return_inverse=True)
    if len(found) == len(rows):
        found, place = rows, np.arange(len(rows))
    if seen.pooled is None:
        return RowUses(found, place)
    return RowUses(found, place, seen.pooled.term[own], seen.pooled.embedding[own])


@dataclass(frozen=True)
class LogitShifts:
    """What candidates for the embeddings of a tier do to the logits of the rows that it is in.

    All that candidates do to the rows of one category is a product of two small matrices: of what their logits change
    by, and of the category's embedding as each candidate has it. So uses of a category should follow one another, and
    categories with as many uses too: their products are made in one call.

    Attributes:
        codebooks: of the tier.
        number: of each use's category among those of the tier that are seen, int64 (uses,); see ``by_category``.
        current: its embedding as it is at present, float32 (uses, dim).
        others: what the logit changes by with it, float32 (uses, dim).
    """

    codebooks: TierCodebooks
    number: Int64Array
    current: Float32Array
    others: Float32Array

    def chunks(self, candidates: Sequence[WeightsCandidate]) -> Iterator[Sequence[WeightsCandidate]]:
        """Yield candidates, as many at a time as memory allows."""
        size = max(1, _MOST_SHIFTS // max(1, len(self.number)))
        for start in range(0, len(candidates), size):
            yield candidates[start : start + size]

    def of(self, candidates: Sequence[WeightsCandidate]) -> Float32Array:
        """Return (q_i − current) · others of each use, float32 (uses, candidates)."""
        dim = self.others.shape[1]
        shifts = np.empty((len(self.number), len(candidates)), dtype=np.float32)
        starts = np.flatnonzero(np.append(True, self.number[1:] != self.number[:-1])[: len(self.number)])
        lengths = np.diff(starts, append=len(self.number))
        most = max(1, _BLOCK_NUMBERS // (len(candidates) * dim))
        for first in range(0, len(starts), most):
            block = slice(first, first + most)
            decoded = self._decoded(candidates, self.number[starts[block]]).transpose(0, 2, 1)
            place, use = 0, int(starts[first])
            for length, same in groupby(lengths[block].tolist()):
                size = sum(1 for _ in same)
                uses = slice(use, use + size * length)
                own, out = self.others[uses].reshape(size, length, dim), shifts[uses].reshape(size, length, -1)
                np.matmul(own, decoded[place : place + size], out=out)
                place, use = place + size, use + size * length
        shifts -= np.einsum("rl,rl->r", self.current, self.others)[:, None]
        return shifts

    def vectors(self, candidate: WeightsCandidate) -> Float32Array:
        """Return q_i − current of each use, float32 (uses, dim)."""
        return np.asarray(self.codebooks.decoded(candidate)[self.number] - self.current)

    def _decoded(self, candidates: Sequence[WeightsCandidate], categories: Int64Array) -> Float32Array:
        """Return the embeddings of seen categories as candidates have them, float32 (n, candidates, dim)."""
        dim, place = self.others.shape[1], 0
        found = np.empty((len(categories), len(candidates), dim), dtype=np.float32)
        for (_, subspaces), alike in groupby(candidates, lambda one: (one.metric, len(one.codewords))):
            own = list(alike)
            columns = slice(place, place + len(own))
            place += len(own)
            if not subspaces:
                tier = self.codebooks.tier
                found[:, columns] = tier.weights.embeddings[tier.members[categories]][:, None]
                continue
            by_size = self.codebooks.codebooks_of(own[0]).by_size
            for number, (start, end) in enumerate(subspace_bounds(dim, subspaces)):
                books = [by_size[number][one.codewords[number]] for one in own]
                firsts = np.cumsum([0, *(len(book.table) for book in books[:-1])])
                codes = np.stack([book.codes[categories] for book in books], axis=1) + firsts
                found[:, columns, start:end] = np.concatenate([book.table for book in books])[codes]
        return found


def by_category(number: Int64Array) -> Int64Array:
    """Return the order in which uses of a category follow one another, those of rarer ones first, int64 (uses,).

    Args:
        number: of the category of each use, int64 (uses,).
    """
    return np.lexsort((number, np.bincount(number)[number]))
