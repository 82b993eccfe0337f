"""Prices on held-out rows: what an option does to the loss of rows that the factorization machine was not trained on.

With q_i in place of v_i in one field, the logit of a row becomes exactly

    z + (q_i − v_i) · (S − v_i),        S = Σ_j v_j

and z + Δw_i with another linear weight. The shift is a sum over subspaces, so one vectorised pass over the rows prices
a codebook, and sums of those price all options. Prices may be negative: where the factorization machine overfits, a
coarser field predicts better than its own embeddings.

One field's price takes all others as they are. What coarse fields do to each other is found by pricing again with the
fields at their chosen options in place of their own embeddings, until the choice stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.data import MISSING, Batch, ParquetRows, shuffled
from fmcompress.data.batch import concatenate
from fmcompress.links import Link
from fmcompress.progress import Progress
from fmcompress.quantization.chains import Chain, embedding_chain, linear_chain
from fmcompress.quantization.curves import subspaces_on_menu
from fmcompress.quantization.menu import Choice, Option, PartMenu, rounding_error, sized, thinned_choices
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.sensitivity import Floats
from fmcompress.quantization.weights import FieldWeights, Metric, Points
from fmcompress.quantizer import subspace_bounds
from fmcompress.sharing import stacked

METRICS: tuple[Metric, ...] = ("fm", "euclidean")
"""Codebooks on the menu are made in each of these; the price decides."""

_ROWS = 50_000
_BATCH_ROWS = 16_384
_CHOICES_PER_CHAIN = 10
_LEAST_OF_A_LABEL = 1_000
# Standard errors that count against a measured price.
_DOUBT = 1.0

Whole = npt.NDArray[np.int64]


def draw_rows(rows: ParquetRows, *, seed: int) -> Batch:
    """Return some 50,000 rows to price on, or all where there are fewer."""
    batches: list[Batch] = []
    for batch in shuffled(rows, _BATCH_ROWS, seed=seed):
        batches.append(batch)
        if sum(map(len, batches)) >= _ROWS:
            break
    return concatenate(batches).take(slice(_ROWS))


def tells_enough(batch: Batch, link: Link) -> bool:
    """Return whether prices can be measured on these rows: there must be 1,000 of each label, or 2,000 numbers.

    Where there are fewer, the best of many options is the one that chance favours most.
    """
    if link.regression:
        return len(batch) >= 2 * _LEAST_OF_A_LABEL
    positives = int(batch.labels.sum())
    return min(positives, len(batch) - positives) >= _LEAST_OF_A_LABEL


@dataclass(frozen=True)
class _Part:
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
class _PricedPart:
    """A part, the codebooks of its menu, and the choices among them."""

    part: _Part
    chains: tuple[Chain, ...]
    linear: Chain
    choices: tuple[Choice, ...]

    @classmethod
    def of(cls, part: _Part, chains: Sequence[Chain]) -> _PricedPart:
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

    def decoded(self, choice: Choice) -> Points:
        """Return the embeddings of the occurring categories as a choice has them, float32 (n, dim)."""
        if not choice.codewords:
            return self.part.weights.embeddings[self.part.members]
        number, sizes = self.chain(choice)
        links = self.chains[number].links
        return np.concatenate([own[size].decoded() for own, size in zip(links, sizes, strict=True)], axis=1)

    def decoded_linear(self, codewords: tuple[int, ...]) -> Points:
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


class _Occurring:
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

    def parts(self, of: npt.NDArray[np.uint8]) -> Iterator[_Part]:
        """Yield the tiers of the field, ``of`` being that of each category, uint8 (cardinality,)."""
        for tier in range(int(of.max()) + 1):
            own = np.flatnonzero(of == tier)
            places = np.flatnonzero(of[self.categories] == tier)
            yield _Part(self._field.take(own), np.searchsorted(own, self.categories[places]), places)


class HeldOutPrices:
    """Prices the menu of each field on rows."""

    def __init__(
        self,
        weights: Sequence[FieldWeights],
        checkpoint: FMCheckpoint,
        layouts: Sequence[Sequence[npt.NDArray[np.uint8]]],
        batch: Batch,
        *,
        seed: int,
        progress: Progress,
    ) -> None:
        """Make the codebooks of all options.

        Args:
            weights: of each field.
            checkpoint: the factorization machine.
            layouts: ways to cut each field into tiers.
            batch: the rows.
            seed: of k-means.
            progress: told of each codebook.
        """
        self._bias, self._link, self._progress = checkpoint.bias, checkpoint.link_function, progress
        self._labels = batch.labels.astype(np.float64)
        self._numeric = checkpoint.numeric.contributions(batch.values)
        ids = stacked(batch.ids, checkpoint.schema)
        self._occurring = [_Occurring(field, own, len(batch)) for field, own in zip(weights, ids.T, strict=True)]
        cut = [[list(seen.parts(of)) for of in ways] for seen, ways in zip(self._occurring, layouts, strict=True)]
        works = [part.works(seed) for ways in cut for way in ways for part in way]
        made = side_by_side([w for works_ in works for w in works_], title="pricing quantizers", progress=progress)
        all_chains = iter(list(made))
        self._parts = [
            [[_PricedPart.of(part, list(islice(all_chains, len(works[0])))) for part in way] for way in ways]
            for ways in cut
        ]

    def menus(self) -> list[list[list[PartMenu]]]:
        """Return the menus of the parts of each layout of each field, priced with the other fields as they are now."""
        sums, logits = self._logits()
        losses = self._link.losses(logits, self._labels)
        works = [
            partial(self._menu, part, seen, sums, logits, losses)
            for seen, ways in zip(self._occurring, self._parts, strict=True)
            for way in ways
            for part in way
        ]
        found = iter(list(side_by_side(works, title="pricing on held-out rows", progress=self._progress)))
        return [[[next(found) for _ in way] for way in ways] for ways in self._parts]

    def expected(self) -> list[list[list[PartMenu]]]:
        """Return the same menus with the expected loss of each choice."""
        return [[[priced.expected() for priced in way] for way in ways] for ways in self._parts]

    def loss(self) -> float:
        """Return the mean loss of the rows with the fields as they are now, in nats."""
        return float(self._link.losses(self._logits()[1], self._labels).mean())

    def restore(self) -> None:
        """Let the factorization machine's own weights stand for all fields again."""
        for seen in self._occurring:
            seen.restore()

    def settle(self, options: Sequence[Option]) -> None:
        """Let the chosen option of each field stand for it from now on."""
        for seen, ways, option in zip(self._occurring, self._parts, options, strict=True):
            for priced, chosen in zip(ways[option.layout], option.parts, strict=True):
                quantizer, places = chosen.quantizer, priced.part.places
                linear = (quantizer.linear_codewords,) if quantizer.linear_codewords else ()
                seen.embeddings[places] = priced.decoded(Choice(quantizer.codewords, 0.0, chosen.metric))
                seen.linear[places] = priced.decoded_linear(linear)

    def _logits(self) -> tuple[Points, Floats]:
        """Return S, float32 (rows, dim), and logits, float64 (rows,), with the fields as they are now."""
        sums, scalars = self._numeric[0].copy(), self._numeric[1]
        logits = self._bias + scalars.astype(np.float64)
        for seen in self._occurring:
            for use in seen.by_use():
                rows, place = seen.rows[use], seen.place[use]
                vectors = seen.embeddings[place]
                sums[rows] += vectors
                logits[rows] += seen.linear[place] - 0.5 * np.einsum("rl,rl->r", vectors, vectors)
        return sums, logits + 0.5 * np.einsum("rl,rl->r", sums, sums)

    def _menu(self, priced: _PricedPart, seen: _Occurring, sums: Points, logits: Floats, losses: Floats) -> PartMenu:
        """Return the menu of a part, each choice at what it does to the mean loss of the rows.

        In a table that fields share each use is priced as if the others stayed as they are, and the prices added up.
        """
        number = np.full(len(seen.categories), -1)
        number[priced.part.places] = np.arange(len(priced.part.places))
        own = np.flatnonzero(number[seen.place] >= 0)
        rows, place = seen.rows[own], seen.place[own]
        z, y, before, all_rows = logits[rows], self._labels[rows], losses[rows], len(self._labels)

        def priced_choice(choice: Choice, shift: Points) -> Choice:
            rise = self._link.losses(z + shift, y) - before
            mean = float(rise.sum()) / all_rows
            variance = max(float(rise @ rise) / all_rows - mean**2, 0.0)
            return replace(choice, error=mean, doubt=_DOUBT * float(np.sqrt(variance / all_rows)))

        current = seen.embeddings[place]
        shifts = _Shifts(priced, number[place], current, sums[rows] - current)
        weights = priced.part.weights
        return PartMenu(
            weights.cardinality,
            weights.dim,
            tuple(priced_choice(choice, shifts.of(choice)) for choice in priced.choices),
            tuple(
                priced_choice(Choice(size, 0.0), priced.decoded_linear(size)[number[place]] - seen.linear[place])
                for size in priced.linear_sizes
            ),
            rounding_error(weights),
        )


class _Shifts:
    """What choices for the embeddings of a part do to the logits of the rows that it is in."""

    def __init__(self, priced: _PricedPart, number: Whole, current: Points, others: Points) -> None:
        """Keep the rows.

        Args:
            priced: the part.
            number: of each row's category among those of the part that occur, int64 (rows,).
            current: what stands for it at present, float32 (rows, dim).
            others: S less that, float32 (rows, dim).
        """
        self._priced, self._number, self._others = priced, number, others
        self._before = np.einsum("rl,rl->r", current, others)
        self._products: dict[tuple[int, int, int], Points] = {}

    def of(self, choice: Choice) -> Points:
        """Return (q_i − current) · others of each row, float32 (rows,)."""
        if not choice.codewords:
            vectors = self._priced.decoded(choice)[self._number]
            return np.asarray(np.einsum("rl,rl->r", vectors, self._others) - self._before)
        chain, sizes = self._priced.chain(choice)
        total = -self._before
        for subspace, size in enumerate(sizes):
            total = total + self._product(chain, subspace, size)
        return np.asarray(total)

    def _product(self, chain: int, subspace: int, size: int) -> Points:
        """Return the codewords' product with the others in one subspace, float32 (rows,)."""
        key = chain, subspace, size
        if key not in self._products:
            links = self._priced.chains[chain].links
            start, end = subspace_bounds(self._others.shape[1], len(links))[subspace]
            vectors = links[subspace][size].decoded()[self._number]
            self._products[key] = np.einsum("rl,rl->r", vectors, self._others[:, start:end])
        return self._products[key]
