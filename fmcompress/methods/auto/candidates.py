"""The ways in which a field can be stored, with their bytes and their expected rise of the loss.

A field is stored whole or in tiers. Each tier has candidates of its own: for the embeddings raw ones, a shared vector,
or codebooks for 1 to 32 subspaces, as many codewords in each as pay there; for the linear weights the same with one
subspace; all of it in fp16 or int8, or in fp32 where fp16 costs something; embeddings in the compact layout in 2 to 6
bits a number too. What another candidate beats in both bytes and loss is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from fmcompress.fm.quantizer import (
    INT8,
    INTEGER_BITS,
    NO_LINEAR,
    Quantizer,
    code_bits,
    subspace_bounds,
)
from fmcompress.methods.auto.rate_distortion import RateDistortion
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.quantization.knapsack import unbeaten
from fmcompress.quantization.rounding import Rounding, rounding_rises
from fmcompress.types import Float64Array

T = TypeVar("T")

FEW_BITS = tuple(bits for bits in INTEGER_BITS if bits < 8 * INT8)
"""Bits of numbers that are candidates in the compact layout beside int8."""

USUAL_BITS = {False: 8 * INT8, True: 5}
"""Bits of a number that codebooks are weighed by, out of the compact layout and in it."""


@dataclass(frozen=True)
class WeightsCandidate:
    """A way to store the embeddings of a tier, or its linear weights.

    Attributes:
        codewords: of each subspace's codebook; none for raw numbers, ``NO_LINEAR`` where there are no linear weights.
        error: expected rise of the loss per row.
        metric: in which codebooks are made.
        standard_error: of a measured rise, counted against it; 0 for what is computed.
        largest: the largest size of a number in the codebooks; None for raw numbers.
    """

    codewords: tuple[int, ...]
    error: float
    metric: Metric = "fm"
    standard_error: float = 0.0
    largest: float | None = None

    @property
    def penalised(self) -> float:
        """What the candidate is weighed by: a gain that may well be chance is none."""
        return self.error + self.standard_error


@dataclass(frozen=True)
class TierCandidates:
    """The candidates for a tier of a field, or for all of it.

    Attributes:
        cardinality: number of its categories.
        dim: embedding size l.
        embeddings: candidates for the embeddings.
        linear: candidates for the linear weights; their codewords are one number, or none.
        rounding: what it costs to round numbers, and to what they may be rounded.
        compact: whether they are stored in the compact layout.
    """

    cardinality: int
    dim: int
    embeddings: tuple[WeightsCandidate, ...]
    linear: tuple[WeightsCandidate, ...]
    rounding: Rounding
    compact: bool = False

    @classmethod
    def of(
        cls,
        field: FieldWeights,
        embeddings: Iterable[WeightsCandidate],
        linear: Iterable[WeightsCandidate],
        *,
        compact: bool = False,
    ) -> TierCandidates:
        """Return the candidates for a tier with these weights."""
        rounding = rounding_rises(field, FEW_BITS if compact else ())
        return cls(field.cardinality, field.dim, tuple(embeddings), tuple(linear), rounding, compact)

    def rounded(self, some: Sequence[WeightsCandidate], bits: int) -> Float64Array:
        """Return what numbers of so many bits cost in embeddings that are so stored, float64 (n,)."""
        largest = [self.rounding.largest if one.largest is None else one.largest for one in some]
        return self.rounding.of_embeddings(bits, np.array(largest, dtype=np.float64))

    def rise(self, stored: TierCandidate) -> float:
        """Return the expected rise of the loss per row where the tier is so stored."""
        quantizer = stored.quantizer
        size = (quantizer.linear_codewords,) if quantizer.linear_codewords else ()
        embeddings = next(
            one
            for one in self.embeddings
            if one.codewords == quantizer.codewords and (not one.codewords or one.metric == stored.metric)
        )
        linear = next(one.error for one in self.linear if one.codewords == size)
        rounding = float(self.rounded([embeddings], quantizer.value_bits)[0])
        return embeddings.error + linear + rounding + self.rounding.linear[quantizer.value_bytes]


ByTier = list[list[list[TierCandidates]]]
"""The candidates of each tier of each split of each field."""


def map_tiers(function: Callable[..., T], *by_tier: list[list[list[Any]]]) -> list[list[list[T]]]:
    """Return the function's value for each tier of each split of each field."""
    return [
        [list(map(function, *split)) for split in zip(*splits, strict=True)] for splits in zip(*by_tier, strict=True)
    ]


@dataclass(frozen=True)
class TierCandidate:
    """A way to store a tier; the same one, whatever its error is estimated to be.

    Attributes:
        quantizer: how it is stored.
        payload_bytes: what that takes in the artifact, its names in the header counted in.
        error: expected rise of the loss per row.
        metric: in which codebooks are made.
    """

    quantizer: Quantizer
    payload_bytes: int
    error: float = field(compare=False)
    metric: Metric = "fm"


@dataclass(frozen=True)
class FieldCandidate:
    """A way to store a field; the same one, whatever its error is estimated to be.

    Attributes:
        split: number of the way in which the field is split into tiers.
        tiers: how each tier is stored.
        payload_bytes: what all of it takes in the artifact, with its entry in the header.
        error: expected rise of the loss per row.
    """

    split: int
    tiers: tuple[TierCandidate, ...]
    payload_bytes: int
    error: float = field(compare=False)


def expected_candidates(
    field: FieldWeights,
    embeddings: Iterable[RateDistortion],
    linear: RateDistortion | None,
    *,
    compact: bool = False,
) -> TierCandidates:
    """Return the candidates for a tier, by their expected loss.

    Args:
        field: its weights.
        embeddings: of each number of subspaces, see ``embedding_distortion``.
        linear: of the linear weights, see ``linear_distortion``; None where there are none.
        compact: whether they are stored in the compact layout.
    """
    raw = WeightsCandidate((), 0.0)
    bits = USUAL_BITS[compact]
    coded = [one for found in embeddings for one in codebook_candidates(found, field.cardinality, field.dim, bits=bits)]
    of_linear = [WeightsCandidate((NO_LINEAR,), 0.0)]
    if linear is not None:
        of_linear = [raw, *codebook_candidates(linear, field.cardinality, 1)]
    return TierCandidates.of(field, (raw, *coded), of_linear, compact=compact)


def codebook_candidates(
    found: RateDistortion, cardinality: int, dim: int, metric: Metric = "fm", *, bits: int = 8 * INT8
) -> Iterator[WeightsCandidate]:
    """Yield sizes of all subspaces' codebooks, from one codeword each to the largest, the steps that pay most first.

    Each subspace goes along the lower convex hull of its errors over bytes, so that each candidate is the best of its
    size among all mixtures of sizes.

    Args:
        found: errors of each subspace with each size.
        cardinality: number of categories.
        dim: coordinates of all subspaces.
        metric: in which codebooks are made.
        bits: of a number in a codebook, about.
    """
    subspaces = len(found.errors)
    widths = np.array([end - start for start, end in subspace_bounds(dim, subspaces)])
    sizes = np.array(found.sizes)
    of_codes = np.array([code_bits(size) for size in found.sizes])
    costs = (bits * sizes[None] * widths[:, None] + cardinality * of_codes[None]) / 8
    at = [0] * subspaces
    errors = found.errors[:, 0].copy()
    if subspaces == 1:
        yield WeightsCandidate((1,), float(errors.sum()), metric, largest=float(found.largest[0, 0]))
    steps = [step for number in range(subspaces) if (step := _steepest(costs, found.errors, number, 0))]
    heapq.heapify(steps)
    while steps:
        _, number, size = heapq.heappop(steps)
        at[number], errors[number] = size, found.errors[number, size]
        largest = float(found.largest[range(subspaces), at].max())
        yield WeightsCandidate(tuple(found.sizes[i] for i in at), float(errors.sum()), metric, largest=largest)
        if step := _steepest(costs, found.errors, number, size):
            heapq.heappush(steps, step)


def _steepest(costs: Float64Array, errors: Float64Array, number: int, start: int) -> tuple[float, int, int] | None:
    """Return the size to which a subspace's error falls most per byte: minus that fall, subspace, size."""
    fall = (errors[number, start] - errors[number, start + 1 :]) / (costs[number, start + 1 :] - costs[number, start])
    if not len(fall) or fall.max() <= 0:
        return None
    best = int(fall.argmax())
    return -float(fall[best]), number, start + 1 + best


def blended(measured: TierCandidates, expected: TierCandidates, share: float) -> TierCandidates:
    """Return candidates with rises between those of the same candidates.

    Args:
        measured: rises as measured on rows.
        expected: expected ones.
        share: of the measured ones, 0 to 1.
    """

    def mixed(one: WeightsCandidate, other: WeightsCandidate) -> WeightsCandidate:
        return replace(
            one,
            error=share * one.error + (1 - share) * other.error,
            standard_error=share * one.standard_error + (1 - share) * other.standard_error,
        )

    return replace(
        measured,
        embeddings=tuple(map(mixed, measured.embeddings, expected.embeddings)),
        linear=tuple(map(mixed, measured.linear, expected.linear)),
    )


def thinned_embeddings(found: Sequence[WeightsCandidate], field: FieldWeights, most: int) -> list[WeightsCandidate]:
    """Return at most ``most`` candidates for the embeddings of a tier, evenly spread over their bytes' logarithm."""
    payloads = [Quantizer(one.codewords, 1, INT8).payload_bytes(field.cardinality, field.dim) for one in found]
    return [found[place] for place in unbeaten(payloads, [one.error for one in found], most)]
