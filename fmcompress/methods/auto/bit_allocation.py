"""Choosing how to store each field: menus, prices, allocation under the exact byte budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.counting import fixed_bytes
from fmcompress.artifact.metadata import Frame
from fmcompress.artifact.origin import Origin
from fmcompress.errors import BudgetError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.candidates import Layout, Option, PartMenu, blended, field_options, part_menu, part_options
from fmcompress.methods.auto.rate_distortion import embedding_curve, linear_curve, subspaces_on_menu
from fmcompress.methods.auto.tiering import layouts
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.field_weights import FieldWeights, all_weights, split
from fmcompress.quantization.knapsack import allocate
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.plan import Plan
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.sizes import format_size

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch
    from fmcompress.methods.auto.held_out_loss import HeldOutPrices

_ROUNDS = 3
# Shares of measured prices in the blends with expected ones that plans start from; the true loss decides between them.
_SHARES = (1.0, 0.5, 0.0)

Menus = list[list[list[PartMenu]]]
"""The menu of each part of each layout of each field."""

Layouts = list[list[npt.NDArray[np.uint8]]]
"""Ways to cut each field into tiers: the tier of each category."""


class Planner:
    """Makes plans for one factorization machine: all that does not depend on the budget is done once.

    With held-out rows options cost what they do to the loss of these rows; without, the expected loss.
    """

    def __init__(
        self,
        checkpoint: FMCheckpoint,
        counts: npt.NDArray[np.int64] | None,
        sensitivity: Sensitivity,
        held_out: Batch | None = None,
        *,
        seed: int,
        progress: Progress = SILENT,
    ) -> None:
        """Price the menus.

        Args:
            checkpoint: the factorization machine.
            counts: rows in which each category is active, int64 (categories,); None where that is not known.
            sensitivity: what errors cost.
            held_out: rows that it was not trained on.
            seed: of k-means.
            progress: told of each step.
        """
        self._checkpoint = checkpoint
        schema = checkpoint.schema
        of_fields = [None] * len(schema) if counts is None else schema.split(counts)
        self._layouts: Layouts = [layouts(own, f.cardinality) for own, f in zip(of_fields, schema.fields, strict=True)]
        weights = all_weights(checkpoint, sensitivity)
        self._prices: HeldOutPrices | None = None
        if held_out is None:
            self._menus = _expected_menus(weights, self._layouts, seed, progress)
        else:
            from fmcompress.methods.auto.held_out_loss import HeldOutPrices

            self._prices = HeldOutPrices(weights, checkpoint, self._layouts, held_out, seed=seed, progress=progress)
            self._menus = self._prices.menus()
            self._expected = self._prices.expected()
        shares = (1.0,) if held_out is None else _SHARES
        self._options = [self._options_of(self._blended(self._menus, share)) for share in shares]

    def plan(self, origin: Origin, *, vocabulary_bytes: int = 0) -> Plan:
        """Choose how to store each field.

        Args:
            origin: what the artifact will say of itself; with the budget.
            vocabulary_bytes: size of the vocabulary that it will carry.

        Raises:
            BudgetError: no artifact of this model fits the budget.
        """
        fixed = fixed_bytes(Frame.of(self._checkpoint, vocabulary_bytes=vocabulary_bytes), origin)
        allowed = origin.budget_bytes - fixed
        starts = [allocate(options, allowed) for options in self._options]
        chosen = starts[0]
        if chosen is None:
            smallest = fixed + sum(options[0].payload_bytes for options in self._options[0])
            raise BudgetError(
                f"budget of {format_size(origin.budget_bytes)} is too small: "
                f"the smallest artifact of this model has {smallest:,} bytes",
                smallest_bytes=smallest,
                hint=f"--budget {smallest} is the least that works",
            )
        if self._prices is not None:
            chosen = self._settled(self._prices, [start for start in starts if start], allowed)
        parts = [part for option in chosen for part in option.parts]
        return Plan(
            self._tiers(chosen),
            tuple(part.quantizer for part in parts),
            fixed + sum(option.payload_bytes for option in chosen),
            fixed + max(sum(options[-1].payload_bytes for options in blend) for blend in self._options),
            tuple(part.metric for part in parts),
            None if self._prices is None else self._first_prices(chosen),
        )

    def _settled(self, prices: HeldOutPrices, starts: Sequence[list[Option]], allowed: int) -> list[Option]:
        """Return the start with the least loss, priced again with its fields as chosen as long as that pays."""
        losses = [self._loss(prices, start) for start in starts]
        best = int(np.argmin(losses))
        chosen, least, share = starts[best], losses[best], _SHARES[best]
        for _ in range(_ROUNDS):
            prices.settle(chosen)
            found = allocate(self._options_of(self._blended(prices.menus(), share)), allowed)
            if found is None or _same(found, chosen):
                break
            loss = self._loss(prices, found)
            if loss >= least:
                break
            chosen, least = found, loss
        return chosen

    @staticmethod
    def _loss(prices: HeldOutPrices, options: Sequence[Option]) -> float:
        """Return the true loss of the rows with these options."""
        prices.settle(options)
        return prices.loss()

    def _blended(self, menus: Menus, share: float) -> Menus:
        """Return the menus with prices between the measured and the expected ones."""
        if share == 1:
            return menus
        return [
            [list(map(blended, *both, [share] * len(both[0]))) for both in zip(*fields, strict=True)]
            for fields in zip(menus, self._expected, strict=True)
        ]

    def _options_of(self, menus: Menus) -> list[list[Option]]:
        return [
            field_options(
                field,
                [Layout(tuple(menu.cardinality for menu in way), tuple(map(part_options, way))) for way in ways],
            )
            for field, ways in zip(self._checkpoint.schema.fields, menus, strict=True)
        ]

    def _tiers(self, chosen: Sequence[Option]) -> Tiers:
        of = [ways[option.layout] for ways, option in zip(self._layouts, chosen, strict=True)]
        return Tiers(self._checkpoint.schema, np.concatenate(of))

    def _first_prices(self, chosen: Sequence[Option]) -> tuple[float, ...]:
        """Return what each part costs with all other fields as they are."""
        return tuple(
            menu.price(part)
            for ways, option in zip(self._menus, chosen, strict=True)
            for menu, part in zip(ways[option.layout], option.parts, strict=True)
        )


def _same(one: Sequence[Option], other: Sequence[Option]) -> bool:
    """Return whether two choices store all fields in the same way; prices may differ."""

    def ways(options: Sequence[Option]) -> list[tuple[int, list[tuple[object, str]]]]:
        return [(o.layout, [(part.quantizer, part.metric) for part in o.parts]) for o in options]

    return ways(one) == ways(other)


def _expected_menus(weights: Sequence[FieldWeights], cut: Layouts, seed: int, progress: Progress) -> Menus:
    """Return menus with the expected loss of each choice, from distortion curves."""
    parts = [[list(split(field, of)) for of in ways] for field, ways in zip(weights, cut, strict=True)]
    counts = subspaces_on_menu(weights[0].dim)
    works = [
        work
        for ways in parts
        for way in ways
        for part in way
        for work in (
            *(partial(embedding_curve, part, subspaces, seed=seed) for subspaces in counts),
            partial(linear_curve, part, seed=seed),
        )
    ]
    curves = iter(list(side_by_side(works, title="pricing quantizers", progress=progress)))
    return [
        [[part_menu(part, list(islice(curves, len(counts))), next(curves)) for part in way] for way in ways]
        for ways in parts
    ]
