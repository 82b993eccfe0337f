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

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import shuffled
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link
from fmcompress.fm.shared_tables import stacked
from fmcompress.methods.auto.candidates import Choice, Option, PartMenu, rounding_error
from fmcompress.methods.auto.held_out_categories import Occurring, PricedPart
from fmcompress.methods.auto.logit_shifts import Shifts, Uses
from fmcompress.progress import Progress
from fmcompress.quantization.field_weights import FieldWeights
from fmcompress.quantization.parallel import side_by_side
from fmcompress.types import Float32Array, Float64Array

_ROWS = 50_000
_BATCH_ROWS = 16_384
_LEAST_OF_A_LABEL = 1_000
# Standard errors that count against a measured price.
_DOUBT = 1.0


def draw_rows(rows: Rows, *, seed: int) -> Batch:
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
        self._occurring = [Occurring(field, own, len(batch)) for field, own in zip(weights, ids.T, strict=True)]
        cut = [[list(seen.parts(of)) for of in ways] for seen, ways in zip(self._occurring, layouts, strict=True)]
        works = [part.works(seed) for ways in cut for way in ways for part in way]
        made = side_by_side([w for works_ in works for w in works_], title="pricing quantizers", progress=progress)
        all_chains = iter(list(made))
        self._parts = [
            [[PricedPart.of(part, list(islice(all_chains, len(works[0])))) for part in way] for way in ways]
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

    def _logits(self) -> tuple[Float32Array, Float64Array]:
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

    def _menu(
        self, priced: PricedPart, seen: Occurring, sums: Float32Array, logits: Float64Array, losses: Float64Array
    ) -> PartMenu:
        """Return the menu of a part, each choice at what it does to the mean loss of the rows."""
        number = np.full(len(seen.categories), -1)
        number[priced.part.places] = np.arange(len(priced.part.places))
        own = np.flatnonzero(number[seen.place] >= 0)
        uses = Uses(seen.rows[own])
        rows, place = uses.rows, seen.place[own]
        z, y, before, all_rows = logits[rows], self._labels[rows], losses[rows], len(self._labels)

        def priced_choice(choice: Choice, shift: Float32Array) -> Choice:
            rise = self._link.losses(z + shift, y) - before
            mean = float(rise.sum()) / all_rows
            variance = max(float(rise @ rise) / all_rows - mean**2, 0.0)
            return replace(choice, error=mean, doubt=_DOUBT * float(np.sqrt(variance / all_rows)))

        current = seen.embeddings[place]
        shifts = Shifts(priced, number[place], current, sums[seen.rows[own]] - current)
        weights = priced.part.weights
        return PartMenu(
            weights.cardinality,
            weights.dim,
            tuple(
                priced_choice(choice, uses.summed(shifts.of(choice)) + uses.products(partial(shifts.vectors, choice)))
                for choice in priced.choices
            ),
            tuple(
                priced_choice(
                    Choice(size, 0.0),
                    uses.summed(priced.decoded_linear(size)[number[place]] - seen.linear[place]),
                )
                for size in priced.linear_sizes
            ),
            rounding_error(weights),
        )
