"""The menu: the ways in which a field can be stored, with their bytes and what they are expected to cost.

A field is stored whole or in tiers. Each part has its own menu: for the embeddings raw ones, a shared vector, or
codebooks for 1 to 32 subspaces, as many codewords in each as pay there; for the linear weights the same with one
subspace; all of it in fp16 or int8. What another option beats in both bytes and price is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.counting import entry_bytes, tier_bytes
from fmcompress.fm.quantizer import (
    HALF,
    INT8,
    Quantizer,
    code_bits,
    embedding_spec,
    linear_spec,
    subspace_bounds,
)
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.rate_distortion import Curve
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.quantization.knapsack import Priced
from fmcompress.types import Float64Array

_MOST_PART_OPTIONS = 300
_MOST_OPTIONS = 600
_LARGEST_INT8 = 127


@dataclass(frozen=True)
class Choice:
    """A way to store the embeddings of a part, or its linear weights.

    Attributes:
        codewords: of each subspace's codebook; none for raw numbers.
        error: expected rise of the loss per row.
        metric: in which codebooks are made.
        doubt: standard error of a measured one, counted against it; 0 for what is computed.
    """

    codewords: tuple[int, ...]
    error: float
    metric: Metric = "fm"
    doubt: float = 0.0

    @property
    def weighed(self) -> float:
        """What the choice is weighed by: a gain that may well be chance is none."""
        return self.error + self.doubt


@dataclass(frozen=True)
class PartMenu:
    """The choices for a field, or a tier of it.

    Attributes:
        cardinality: number of its categories.
        dim: embedding size l.
        embeddings: choices for the embeddings.
        linear: choices for the linear weights; their codewords are one number, or none.
        rounding: what int8 in place of fp16 costs, expected rise of the loss per row.
    """

    cardinality: int
    dim: int
    embeddings: tuple[Choice, ...]
    linear: tuple[Choice, ...]
    rounding: float

    def price(self, option: PartOption) -> float:
        """Return what an option costs by this menu."""
        quantizer = option.quantizer
        size = (quantizer.linear_codewords,) if quantizer.linear_codewords else ()
        embeddings = next(
            choice.error
            for choice in self.embeddings
            if choice.codewords == quantizer.codewords and (not choice.codewords or choice.metric == option.metric)
        )
        linear = next(choice.error for choice in self.linear if choice.codewords == size)
        return embeddings + linear + (self.rounding if quantizer.value_bytes == INT8 else 0.0)


@dataclass(frozen=True)
class PartOption:
    """A way to store a part.

    Attributes:
        quantizer: how it is stored.
        payload_bytes: what that takes in the artifact, its names in the header counted in.
        error: expected rise of the loss per row.
        metric: in which codebooks are made.
    """

    quantizer: Quantizer
    payload_bytes: int
    error: float
    metric: Metric = "fm"


@dataclass(frozen=True)
class Option:
    """A way to store a field.

    Attributes:
        layout: number of the layout: how the field is cut into tiers.
        parts: how each tier is stored.
        payload_bytes: what all of it takes in the artifact, with its entry in the header.
        error: expected rise of the loss per row.
    """

    layout: int
    parts: tuple[PartOption, ...]
    payload_bytes: int
    error: float


Ranked = TypeVar("Ranked", bound=Priced)


def part_menu(field: FieldWeights, curves: Iterable[Curve], linear: Curve) -> PartMenu:
    """Return the choices for a part, priced by the expected loss.

    Args:
        field: its weights.
        curves: of each number of subspaces, see ``embedding_curve``.
        linear: of the linear weights, see ``linear_curve``.
    """
    embeddings = [
        Choice((), 0.0),
        *(choice for curve in curves for choice in sized(curve, field.cardinality, field.dim)),
    ]
    weights = [Choice((), 0.0), *sized(linear, field.cardinality, 1)]
    return PartMenu(field.cardinality, field.dim, tuple(embeddings), tuple(weights), rounding_error(field))


def rounding_error(field: FieldWeights) -> float:
    """Return what int8 costs: steps of max|v|/127 have a variance of a twelfth of their square."""
    total = float(field.frequencies.sum())
    steps = [float(np.abs(table).max(initial=0)) / _LARGEST_INT8 for table in (field.embeddings, field.linear)]
    costs = (float(np.trace(field.hessian)), field.curvature)
    return 0.5 * total * sum(cost * min(step, 1e30) ** 2 / 12 for cost, step in zip(costs, steps, strict=True))


def sized(curve: Curve, cardinality: int, dim: int, metric: Metric = "fm") -> Iterator[Choice]:
    """Yield sizes of all subspaces' codebooks, from one codeword each to the largest, the steps that pay most first.

    Each subspace goes along the lower convex hull of its errors over bytes, so that each choice is the best of its size
    among all mixtures of sizes.

    Args:
        curve: errors of each subspace with each size.
        cardinality: number of categories.
        dim: coordinates of all subspaces.
        metric: in which codebooks are made.
    """
    subspaces = len(curve.errors)
    widths = np.array([end - start for start, end in subspace_bounds(dim, subspaces)])
    sizes = np.array(curve.sizes)
    bits = np.array([code_bits(size) for size in curve.sizes])
    costs = INT8 * sizes[None] * widths[:, None] + cardinality * bits[None] / 8
    at = [0] * subspaces
    errors = curve.errors[:, 0].copy()
    if subspaces == 1:
        yield Choice((1,), float(errors.sum()), metric)
    steps = [step for number in range(subspaces) if (step := _steepest(costs, curve.errors, number, 0))]
    heapq.heapify(steps)
    while steps:
        _, number, size = heapq.heappop(steps)
        at[number], errors[number] = size, curve.errors[number, size]
        yield Choice(tuple(curve.sizes[i] for i in at), float(errors.sum()), metric)
        if step := _steepest(costs, curve.errors, number, size):
            heapq.heappush(steps, step)


def _steepest(costs: Float64Array, errors: Float64Array, number: int, start: int) -> tuple[float, int, int] | None:
    """Return the size to which a subspace's error falls most per byte: minus that fall, subspace, size."""
    fall = (errors[number, start] - errors[number, start + 1 :]) / (costs[number, start + 1 :] - costs[number, start])
    if not len(fall) or fall.max() <= 0:
        return None
    best = int(fall.argmax())
    return -float(fall[best]), number, start + 1 + best


def blended(measured: PartMenu, expected: PartMenu, share: float) -> PartMenu:
    """Return a menu with prices between those of two menus of the same choices.

    Args:
        measured: prices on rows.
        expected: prices by the expected loss.
        share: of the measured ones, 0 to 1.
    """

    def mixed(one: Choice, other: Choice) -> Choice:
        return replace(
            one,
            error=share * one.error + (1 - share) * other.error,
            doubt=share * one.doubt + (1 - share) * other.doubt,
        )

    return replace(
        measured,
        embeddings=tuple(map(mixed, measured.embeddings, expected.embeddings)),
        linear=tuple(map(mixed, measured.linear, expected.linear)),
    )


def thinned_choices(choices: Sequence[Choice], field: FieldWeights, most: int) -> list[Choice]:
    """Return at most ``most`` choices for the embeddings of a part, evenly spread over their bytes' logarithm."""
    quantizers = [Quantizer(choice.codewords, 1, INT8) for choice in choices]
    options = [
        PartOption(quantizer, quantizer.payload_bytes(field.cardinality, field.dim), choice.error, choice.metric)
        for choice, quantizer in zip(choices, quantizers, strict=True)
    ]
    return [Choice(o.quantizer.codewords, o.error, o.metric) for o in thinned(pareto(options), most)]


def part_options(menu: PartMenu) -> list[PartOption]:
    """Return the options of a part that no other one beats in both bytes and price, by rising bytes."""
    options = []
    for value_bytes in (HALF, INT8):
        rounding = menu.rounding if value_bytes == INT8 else 0.0
        for choice in _unbeaten_embeddings(menu, value_bytes):
            for linear in menu.linear:
                quantizer = Quantizer(choice.codewords, linear.codewords[0] if linear.codewords else 0, value_bytes)
                payload = quantizer.payload_bytes(menu.cardinality, menu.dim) + _name_bytes(quantizer)
                price = choice.weighed + linear.weighed + rounding
                options.append(PartOption(quantizer, payload, price, choice.metric))
    return thinned(pareto(options), _MOST_PART_OPTIONS)


def _unbeaten_embeddings(menu: PartMenu, value_bytes: int) -> list[Choice]:
    """Return the choices for the embeddings that pay with numbers of so many bytes."""
    quantizers = [Quantizer(choice.codewords, 1, value_bytes) for choice in menu.embeddings]
    payloads = [q.payload_bytes(menu.cardinality, menu.dim) + _name_bytes(q) for q in quantizers]
    errors = np.array([choice.weighed for choice in menu.embeddings])
    return [menu.embeddings[place] for place in unbeaten(np.array(payloads), errors).tolist()]


@dataclass(frozen=True)
class Layout:
    """A way to cut a field into tiers.

    Attributes:
        sizes: categories in each tier.
        options: of each tier.
    """

    sizes: tuple[int, ...]
    options: tuple[Sequence[PartOption], ...]


def field_options(field: Field, layouts: Sequence[Layout]) -> list[Option]:
    """Return the options of a field that no other one beats in both bytes and price, by rising bytes.

    Args:
        field: the field.
        layouts: the ways to cut it.
    """
    found: list[Option] = []
    for number, layout in enumerate(layouts):
        raw = [Quantizer()] * len(layout.sizes)
        names = sum(map(_name_bytes, raw))
        fixed = entry_bytes(field, raw, layout.sizes) - names + tier_bytes(layout.sizes)
        combined = [
            Option(number, (option,), fixed + option.payload_bytes, option.error) for option in layout.options[0]
        ]
        for options in layout.options[1:]:
            combined = _combined(combined, options)
        found.extend(combined)
    return thinned(pareto(found), _MOST_OPTIONS)


def _combined(options: Sequence[Option], more: Sequence[PartOption]) -> list[Option]:
    """Return the pairs that no other pair beats."""
    payloads = np.add.outer([o.payload_bytes for o in options], [o.payload_bytes for o in more]).reshape(-1)
    errors = np.add.outer([o.error for o in options], [o.error for o in more]).reshape(-1)
    found = []
    for place in unbeaten(payloads, errors).tolist():
        one, other = options[place // len(more)], more[place % len(more)]
        found.append(Option(one.layout, (*one.parts, other), int(payloads[place]), float(errors[place])))
    return thinned(found, _MOST_OPTIONS)


def _name_bytes(quantizer: Quantizer) -> int:
    """Return what the names of a quantizer take in the header."""
    return len(embedding_spec(quantizer)) + len(linear_spec(quantizer))


def pareto(found: Iterable[Ranked]) -> list[Ranked]:
    """Return the options that no other one beats in both bytes and error, by rising bytes."""
    options = list(found)
    payloads = np.array([option.payload_bytes for option in options], dtype=np.int64)
    errors = np.array([option.error for option in options], dtype=np.float64)
    return [options[place] for place in unbeaten(payloads, errors).tolist()]


def unbeaten(payloads: npt.NDArray[np.int64], errors: Float64Array) -> npt.NDArray[np.int64]:
    """Return the places of the options that no other one beats in both bytes and error, by rising bytes."""
    order = np.lexsort((errors, payloads))
    sorted_errors = errors[order]
    least = np.minimum.accumulate(sorted_errors)
    return np.asarray(order[np.append(np.inf, least[:-1])[: len(order)] > sorted_errors])


def thinned(options: list[Ranked], most: int) -> list[Ranked]:
    """Return at most ``most`` of some options by rising bytes and falling error, spread evenly over their sizes.

    The smallest and the best one stay; of those with nearly the same bytes, the best.
    """
    if len(options) <= most:
        return options
    logs = np.log([option.payload_bytes + 1 for option in options])
    slots = np.floor((logs - logs[0]) / (logs[-1] - logs[0]) * (most - 1)).astype(np.int64)
    last = np.flatnonzero(np.append(slots[1:] != slots[:-1], True))
    return [options[place] for place in np.unique(np.append(0, last)).tolist()]
