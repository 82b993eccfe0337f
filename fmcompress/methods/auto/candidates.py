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
from functools import lru_cache
from itertools import product
from typing import Any, TypeVar

import numpy as np

from fmcompress.artifact.header import embedding_name_bytes, entry_bytes, linear_name_bytes, tier_bytes
from fmcompress.fm.quantizer import (
    INT8,
    INTEGER_BITS,
    NO_LINEAR,
    Quantizer,
    code_bits,
    subspace_bounds,
)
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.rate_distortion import RateDistortion
from fmcompress.quantization.field_weights import FieldWeights, Metric
from fmcompress.quantization.knapsack import pareto, unbeaten
from fmcompress.quantization.rounding import Rounding, rounding_rises
from fmcompress.types import Float64Array

T = TypeVar("T")

FEW_BITS = tuple(bits for bits in INTEGER_BITS if bits < 8 * INT8)
"""Bits of numbers that are candidates in the compact layout beside int8."""

USUAL_BITS = {False: 8 * INT8, True: 5}
"""Bits of a number that codebooks are weighed by, out of the compact layout and in it."""

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


def tier_candidates(tier: TierCandidates) -> list[TierCandidate]:
    """Return the ways to store a tier that no other one beats in both bytes and loss, by rising bytes."""
    ways: list[tuple[_Embeddings, _Linear]] = []
    payloads, errors = [], []
    for value_bytes in tier.rounding.value_bytes:
        embeddings = _unbeaten_embeddings(tier, value_bytes)
        linear = [_Linear.of(one, tier, value_bytes) for one in tier.linear]
        code_bits = np.add.outer([one.code_bits for one in embeddings], [one.code_bits for one in linear])
        stored = np.add.outer([one.stored_bytes for one in embeddings], [one.stored_bytes for one in linear])
        payloads.append((stored + (tier.cardinality * code_bits + 7) // 8).reshape(-1))
        own = np.add.outer([one.rise for one in embeddings], [one.rise for one in linear])
        errors.append((own + tier.rounding.linear[value_bytes]).reshape(-1))
        ways.extend(product(embeddings, linear))
    sizes, rises = np.concatenate(payloads), np.concatenate(errors)
    return [
        _stored(*ways[place], int(sizes[place]), float(rises[place]))
        for place in unbeaten(sizes, rises, _MOST_TIER_CANDIDATES)
    ]


def _stored(embeddings: _Embeddings, linear: _Linear, payload_bytes: int, error: float) -> TierCandidate:
    quantizer = replace(embeddings.quantizer, linear_codewords=linear.codewords)
    return TierCandidate(quantizer, payload_bytes, error, embeddings.metric)


@dataclass(frozen=True)
class _Embeddings:
    """Embeddings that are stored in some way: all but their linear weights, what that takes, and what it costs.

    Attributes:
        quantizer: with no codes of linear weights.
        metric: in which codebooks are made.
        stored_bytes: of its tables and of its name.
        code_bits: of a row's codes.
        rise: of the loss per row.
    """

    quantizer: Quantizer
    metric: Metric
    stored_bytes: int
    code_bits: int
    rise: float


@dataclass(frozen=True)
class _Linear:
    """Linear weights that are stored in some way: their codewords; the rest as of ``_Embeddings``."""

    codewords: int
    stored_bytes: int
    code_bits: int
    rise: float

    @classmethod
    def of(cls, candidate: WeightsCandidate, tier: TierCandidates, value_bytes: int) -> _Linear:
        codewords = candidate.codewords[0] if candidate.codewords else 0
        quantizer = Quantizer((), codewords, value_bytes)
        told = linear_name_bytes(quantizer, compact=tier.compact and quantizer.has_linear)
        stored = quantizer.linear_bytes(tier.cardinality) + told
        return cls(codewords, stored, quantizer.row_bits, candidate.penalised)


def _unbeaten_embeddings(tier: TierCandidates, value_bytes: int) -> list[_Embeddings]:
    """Return the ways to store the embeddings that pay with numbers of so many bytes in memory."""
    errors = np.array([one.penalised for one in tier.embeddings])
    values, code_bits = np.array([_sizes(one.codewords, tier.cardinality, tier.dim) for one in tier.embeddings]).T
    made: list[tuple[Quantizer, int]] = []
    payloads, rises = [], []
    for bits in tier.rounding.bits_of(value_bytes):
        few = bits if value_bytes == INT8 else 8 * INT8
        own = [Quantizer(one.codewords, NO_LINEAR, value_bytes, few) for one in tier.embeddings]
        names = [embedding_name_bytes(quantizer, compact=tier.compact) for quantizer in own]
        sizes = zip(own, values.tolist(), names, strict=True)
        stored = [quantizer.embedding_bytes(numbers) + name for quantizer, numbers, name in sizes]
        payloads.append(np.array(stored) + (tier.cardinality * code_bits + 7) // 8)
        rises.append(errors + tier.rounded(tier.embeddings, bits))
        made += zip(own, stored, strict=True)
    every = np.concatenate(rises)
    found = []
    for place in unbeaten(np.concatenate(payloads), every):
        (quantizer, stored_bytes), at = made[place], place % len(errors)
        metric, bits_of_codes = tier.embeddings[at].metric, int(code_bits[at])
        found.append(_Embeddings(quantizer, metric, stored_bytes, bits_of_codes, float(every[place])))
    return found


@lru_cache(maxsize=2**14)
def _sizes(codewords: tuple[int, ...], cardinality: int, dim: int) -> tuple[int, int]:
    """Return the numbers in the tables of embeddings, and the bits of a row's codes."""
    quantizer = Quantizer(codewords)
    return quantizer.embedding_values(cardinality, dim), quantizer.embedding_code_bits


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
        compact = split[0].compact
        fixed = entry_bytes(field, some, sizes, compact=compact) + tier_bytes(sizes)
        fixed -= sum(_name_bytes(quantizer, compact=compact) for quantizer in some)
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


def _name_bytes(quantizer: Quantizer, *, compact: bool) -> int:
    """Return what the names of a quantizer take in the header."""
    return embedding_name_bytes(quantizer, compact=compact) + linear_name_bytes(quantizer, compact=compact)
