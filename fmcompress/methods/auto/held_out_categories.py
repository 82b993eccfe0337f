"""The parts of a factorization machine as some rows see them: the categories that occur, and codebooks to price."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fmcompress.data.batch import MISSING
from fmcompress.methods.auto.candidates import Choice, PartMenu, rounding_error, sized, thinned_choices
from fmcompress.methods.auto.nested_codebooks import Chain, embedding_chain, linear_chain
from fmcompress.methods.auto.rate_distortion import subspaces_on_menu
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.types import Float32Array

METRICS: tuple[Metric, ...] = ("fm", "euclidean")
"""Codebooks on the menu are made in each of these; the price decides."""

_CHOICES_PER_CHAIN = 10

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """A field or a tier of it, and those of its categories that occur in the rows.

    Attributes:
        weights: of all its categories.
        members: its categories that occur, by their number in the part, int64 (n,).
        places: of these among all categories of the field that occur, int64 (n,).
    """

    weights: FieldWeights
    members: Whole
    places: Whole

    def works(self, seed: int) -> list[Callable[[], Chain]]:
        """Return what makes the codebooks of its menu: those of the embeddings, then those of the linear weights."""
        making = [
            partial(embedding_chain, self.weights, subspaces, self.members, metric, seed=seed)
            for metric in METRICS
            for subspaces in subspaces_on_menu(self.weights.dim)
        ]
        return [*making, partial(linear_chain, self.weights, self.members, seed=seed)]


@dataclass(frozen=True)
class PricedPart:
    """A part, the codebooks of its menu, and the choices among them."""

    part: Part
    chains: tuple[Chain, ...]
    linear: Chain
    choices: tuple[Choice, ...]

    @classmethod
    def of(cls, part: Part, chains: Sequence[Chain]) -> PricedPart:
        """Return the part with the most promising sizes of each number of subspaces."""
        *embeddings, linear = chains
        weights = part.weights
        sizes = [list(sized(c.curve, weights.cardinality, weights.dim, c.metric)) for c in embeddings]
        choices = [choice for found in sizes for choice in thinned_choices(found, weights, _CHOICES_PER_CHAIN)]
        return cls(part, tuple(embeddings), linear, (Choice((), 0.0), *choices))

    def chain(self, choice: Choice) -> tuple[int, list[int]]:
        """Return the number of the chain that a choice is from, and the size's number in each subspace."""
        for number, chain in enumerate(self.chains):
            if chain.metric == choice.metric and len(chain.links) == len(choice.codewords):
                return number, [chain.curve.sizes.index(size) for size in choice.codewords]
        raise LookupError(f"no codebooks for {choice}")

    def decoded(self, choice: Choice) -> Float32Array:
        """Return the embeddings of the occurring categories as a choice has them, float32 (n, dim)."""
        if not choice.codewords:
            return self.part.weights.embeddings[self.part.members]
        number, sizes = self.chain(choice)
        links = self.chains[number].links
        return np.concatenate([own[size].decoded() for own, size in zip(links, sizes, strict=True)], axis=1)

    def decoded_linear(self, codewords: tuple[int, ...]) -> Float32Array:
        """Return the linear weights of the occurring categories as a choice has them, float32 (n,)."""
        if not codewords:
            return self.part.weights.linear[self.part.members]
        return self.linear.links[0][self.linear.curve.sizes.index(codewords[0])].decoded()[:, 0]

    def expected(self) -> PartMenu:
        """Return the menu of the part with the expected loss of each choice."""
        weights = self.part.weights
        linear = [0.0, *self.linear.curve.errors[0].tolist()]
        return PartMenu(
            weights.cardinality,
            weights.dim,
            tuple(replace(choice, error=self._expected(choice)) for choice in self.choices),
            tuple(Choice(size, error) for size, error in zip(self.linear_sizes, linear, strict=True)),
            rounding_error(weights),
        )

    def _expected(self, choice: Choice) -> float:
        if not choice.codewords:
            return 0.0
        number, sizes = self.chain(choice)
        return float(self.chains[number].expected[np.arange(len(sizes)), sizes].sum())

    @property
    def linear_sizes(self) -> list[tuple[int, ...]]:
        """The choices for the linear weights."""
        return [(), *((size,) for size in self.linear.curve.sizes)]


class Occurring:
    """The categories of a field that occur in the rows, and what stands for them at present.

    Attributes:
        categories: those that occur, rising, int64 (n,).
        rows: the rows that have a value, int64 (m,); a row comes once for each field that shares the table.
        place: of their categories among those that occur, int64 (m,).
        embeddings: at present, float32 (n, dim).
        linear: at present, float32 (n,).
    """

    def __init__(self, field: FieldWeights, ids: npt.NDArray[np.int32], rows: int) -> None:
        """Find them.

        Args:
            field: weights of all categories.
            ids: of the stacked rows, int32 (uses · rows,).
            rows: number of rows.
        """
        self._field = field
        present = np.flatnonzero(ids != MISSING)
        self.categories, self.place = np.unique(ids[present], return_inverse=True)
        self.rows = present % rows
        self._ends = np.searchsorted(present, np.arange(1, len(ids) // rows + 1) * rows).tolist()
        self.restore()

    def by_use(self) -> Iterator[slice]:
        """Yield which of ``rows`` and ``place`` belong to each field that shares the table: no row comes twice."""
        for start, end in pairwise([0, *self._ends]):
            yield slice(start, end)

    def restore(self) -> None:
        """Let the factorization machine's own weights stand for them."""
        self.embeddings = self._field.embeddings[self.categories]
        self.linear = self._field.linear[self.categories]

    def parts(self, of: npt.NDArray[np.uint8]) -> Iterator[Part]:
        """Yield the tiers of the field, ``of`` being that of each category, uint8 (cardinality,)."""
        for tier in range(int(of.max()) + 1):
            own = np.flatnonzero(of == tier)
            places = np.flatnonzero(of[self.categories] == tier)
            yield Part(self._field.take(own), np.searchsorted(own, self.categories[places]), places)
