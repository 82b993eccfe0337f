"""What other embeddings of a part do to the logits of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.methods.auto.candidates import Choice
from fmcompress.methods.auto.held_out_categories import PricedPart, Whole
from fmcompress.types import Float32Array


class Uses:
    """The rows that a part is in, once each, though fields that share its table may bring it in several times.

    Where a row has it twice, with shifts d and d' of the two embeddings, the logit moves by d · d' more than by both
    alone.

    Attributes:
        rows: these rows, int64 (n,).
    """

    def __init__(self, rows: Whole) -> None:
        """Find them among the rows of all uses, int64 (uses,)."""
        self.rows, self._place = np.unique(rows, return_inverse=True)
        self._once = len(self.rows) == len(rows)

    def summed(self, values: Float32Array) -> Float32Array:
        """Return the sum over its uses for each row, (n,), of values of each use, (uses,)."""
        if self._once:
            return values
        return np.asarray(np.bincount(self._place, values, len(self.rows)))

    def products(self, shifts: Callable[[], Float32Array]) -> Float32Array | float:
        """Return the sum of d · d' over pairs of uses for each row, (n,); ``shifts`` makes d, (uses, dim)."""
        if self._once:
            return 0.0
        own = shifts()
        total = np.zeros((len(self.rows), own.shape[1]))
        np.add.at(total, self._place, own)
        squares = np.einsum("rl,rl->r", total, total) - self.summed(np.einsum("rl,rl->r", own, own))
        return np.asarray(0.5 * squares)


class Shifts:
    """What choices for the embeddings of a part do to the logits of the rows that it is in."""

    def __init__(self, priced: PricedPart, number: Whole, current: Float32Array, others: Float32Array) -> None:
        """Keep the rows.

        Args:
            priced: the part.
            number: of each row's category among those of the part that occur, int64 (rows,).
            current: what stands for it at present, float32 (rows, dim).
            others: S less that, float32 (rows, dim).
        """
        self._priced, self._number, self._others = priced, number, others
        self._current = current
        self._before = np.einsum("rl,rl->r", current, others)
        self._products: dict[tuple[int, int, int], Float32Array] = {}

    def of(self, choice: Choice) -> Float32Array:
        """Return (q_i − current) · others of each row, float32 (rows,)."""
        if not choice.codewords:
            vectors = self._priced.decoded(choice)[self._number]
            return np.asarray(np.einsum("rl,rl->r", vectors, self._others) - self._before)
        chain, sizes = self._priced.chain(choice)
        total = -self._before
        for subspace, size in enumerate(sizes):
            total = total + self._product(chain, subspace, size)
        return np.asarray(total)

    def vectors(self, choice: Choice) -> Float32Array:
        """Return q_i − current of each row, float32 (rows, dim)."""
        return np.asarray(self._priced.decoded(choice)[self._number] - self._current)

    def _product(self, chain: int, subspace: int, size: int) -> Float32Array:
        """Return the codewords' product with the others in one subspace, float32 (rows,)."""
        key = chain, subspace, size
        if key not in self._products:
            links = self._priced.chains[chain].links
            start, end = subspace_bounds(self._others.shape[1], len(links))[subspace]
            vectors = links[subspace][size].decoded()[self._number]
            self._products[key] = np.einsum("rl,rl->r", vectors, self._others[:, start:end])
        return self._products[key]
