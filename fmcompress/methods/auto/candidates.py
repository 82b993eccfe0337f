"""The ways in which a field can be stored, with their bytes and their expected rise of the loss.

A field is stored whole or in tiers. Each tier has candidates of its own: for the embeddings raw ones, a shared vector,
or codebooks for 1 to 32 subspaces, as many codewords in each as pay there; for the linear weights the same with one
subspace; all of it in fp16 or int8, or in fp32 where fp16 costs something. What another candidate beats in both bytes
and loss is left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from fmcompress.artifact.header import entry_bytes, tier_bytes
from fmcompress.fm.quantizer import INT8, NO_LINEAR, Quantizer, code_bits, embedding_spec, linear_spec, subspace_bounds
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.rate_distortion import RateDistortion
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.quantization.knapsack import pareto, unbeaten
from fmcompress.quantization.rounding import rounding_rises
from fmcompress.types import Float64Array

T = TypeVar("T")

_MOST_TIER_CANDIDATES = 300
_MOST_FIELD_CANDIDATES = 600


@dataclass(frozen=True)
class WeightsCandidate:
    """A way to store the embeddings of a tier, or its linear weights.

    Attributes:
        codewords: of each subspace's codebook; none for raw numbers, ``NO_LINEAR`` where there are no linear weights.
        error: expected rise of the loss per row.
        metric: in which codebooks are made.
        standard_error: of a measured rise, counted against it; 0 for what is computed.
    """

    codewords: tuple[int, ...]
    error: float
    metric: Metric = "fm"
    standard_error: float = 0.0

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
        rounding: what numbers of so many bytes cost, expected rise of the loss per row; those that are not there are
            no candidates.
    """

    cardinality: int
    dim: int
    embeddings: tuple[WeightsCandidate, ...]
    linear: tuple[WeightsCandidate, ...]
    rounding: Mapping[int, float]

    @classmethod
    def of(
        cls, field: FieldWeights, embeddings: Iterable[WeightsCandidate], linear: Iterable[WeightsCandidate]
    ) -> TierCandidates:
        """Return the candidates for a tier with these weights."""
        return cls(field.cardinality, field.dim, tuple(embeddings), tuple(linear), rounding_rises(field))

    def rise(self, stored: TierCandidate) -> float:
        """Return the expected rise of the loss per row where the tier is so stored."""
        quantizer = stored.quantizer
        size = (quantizer.linear_codewords,) if quantizer.linear_codewords else ()
        embeddings = next(
            one.error
            for one in self.embeddings
            if one.codewords == quantizer.codewords and (not one.codewords or one.metric == stored.metric)
        )
        linear = next(one.error for one in self.linear if one.codewords == size)
        return embeddings + linear + self.rounding[quantizer.value_bytes]


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
    field: FieldWeights, embeddings: Iterable[RateDistortion], linear: RateDistortion | None
) -> TierCandidates:
    """Return the candidates for a tier, by their expected loss.

    Args:
        field: its weights.
        embeddings: of each number of subspaces, see ``embedding_distortion``.
        linear: of the linear weights, see ``linear_distortion``; None where there are none.
    """
    raw = WeightsCandidate((), 0.0)
    coded = [one for found in embeddings for one in codebook_candidates(found, field.cardinality, field.dim)]
    if linear is None:
        return TierCandidates.of(field, (raw, *coded), [WeightsCandidate((NO_LINEAR,), 0.0)])
    return TierCandidates.of(field, (raw, *coded), (raw, *codebook_candidates(linear, field.cardinality, 1)))


def codebook_candidates(
    found: RateDistortion, cardinality: int, dim: int, metric: Metric = "fm"
) -> Iterator[WeightsCandidate]:
    """Yield sizes of all subspaces' codebooks, from one codeword each to the largest, the steps that pay most first.

    Each subspace goes along the lower convex hull of its errors over bytes, so that each candidate is the best of its
    size among all mixtures of sizes.

    Args:
        found: errors of each subspace with each size.
        cardinality: number of categories.
        dim: coordinates of all subspaces.
        metric: in which codebooks are made.
    """
    subspaces = len(found.errors)
    widths = np.array([end - start for start, end in subspace_bounds(dim, subspaces)])
    sizes = np.array(found.sizes)
    bits = np.array([code_bits(size) for size in found.sizes])
    costs = INT8 * sizes[None] * widths[:, None] + cardinality * bits[None] / 8
    at = [0] * subspaces
    errors = found.errors[:, 0].copy()
    if subspaces == 1:
        yield WeightsCandidate((1,), float(errors.sum()), metric)
    steps = [step for number in range(subspaces) if (step := _steepest(costs, found.errors, number, 0))]
    heapq.heapify(steps)
    while steps:
        _, number, size = heapq.heappop(steps)
        at[number], errors[number] = size, found.errors[number, size]
        yield WeightsCandidate(tuple(found.sizes[i] for i in at), float(errors.sum()), metric)
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


def tier_candidates(tier: TierCandidates) -> list[TierCandidate]:
    """Return the ways to store a tier that no other one beats in both bytes and loss, by rising bytes."""
    found = []
    for value_bytes, rounding in tier.rounding.items():
        for one in _unbeaten_embeddings(tier, value_bytes):
            for linear in tier.linear:
                quantizer = Quantizer(one.codewords, linear.codewords[0] if linear.codewords else 0, value_bytes)
                payload = quantizer.payload_bytes(tier.cardinality, tier.dim) + _name_bytes(quantizer)
                error = one.penalised + linear.penalised + rounding
                found.append(TierCandidate(quantizer, payload, error, one.metric))
    return pareto(found, _MOST_TIER_CANDIDATES)


def _unbeaten_embeddings(tier: TierCandidates, value_bytes: int) -> list[WeightsCandidate]:
    """Return the candidates for the embeddings that pay with numbers of so many bytes."""
    quantizers = [Quantizer(one.codewords, 1, value_bytes) for one in tier.embeddings]
    payloads = [q.payload_bytes(tier.cardinality, tier.dim) + _name_bytes(q) for q in quantizers]
    return [tier.embeddings[place] for place in unbeaten(payloads, [one.penalised for one in tier.embeddings])]


def field_candidates(field: Field, splits: Iterable[Sequence[TierCandidates]]) -> list[FieldCandidate]:
    """Return the ways to store a field that no other one beats in both bytes and loss, by rising bytes.

    Args:
        field: the field.
        splits: the candidates of each tier, for each way to split the field.
    """
    found: list[FieldCandidate] = []
    for number, split in enumerate(splits):
        sizes = tuple(tier.cardinality for tier in split)
        first, *others = tiers = list(map(tier_candidates, split))
        some = [own[0].quantizer for own in tiers]
        fixed = entry_bytes(field, some, sizes) - sum(map(_name_bytes, some)) + tier_bytes(sizes)
        combined = [FieldCandidate(number, (one,), fixed + one.payload_bytes, one.error) for one in first]
        for more in others:
            combined = _combined(combined, more)
        found.extend(combined)
    return pareto(found, _MOST_FIELD_CANDIDATES)


def _combined(found: Sequence[FieldCandidate], more: Sequence[TierCandidate]) -> list[FieldCandidate]:
    """Return the pairs that no other pair beats."""
    payloads = np.add.outer([o.payload_bytes for o in found], [o.payload_bytes for o in more]).reshape(-1)
    errors = np.add.outer([o.error for o in found], [o.error for o in more]).reshape(-1)
    pairs = []
    for place in unbeaten(payloads, errors, _MOST_FIELD_CANDIDATES):
        one, other = found[place // len(more)], more[place % len(more)]
        pairs.append(FieldCandidate(one.split, (*one.tiers, other), int(payloads[place]), float(errors[place])))
    return pairs


def _name_bytes(quantizer: Quantizer) -> int:
    """Return what the names of a quantizer take in the header."""
    return len(embedding_spec(quantizer)) + len(linear_spec(quantizer))
