"""Bit allocation: the candidates of each field with their rise of the loss, and the best of them within the budget.

A field is stored whole or in two tiers of categories of similar log(1 + count): what bits are worth falls with the
count, and how many bits an error deserves goes with its logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.artifact import Frame, Origin
from fmcompress.artifact.header import artifact_bytes, fixed_bytes
from fmcompress.errors import BudgetError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import BLOCK_ROWS
from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.candidates import (
    ByTier,
    FieldCandidate,
    TierCandidates,
    blended,
    expected_candidates,
    map_tiers,
)
from fmcompress.methods.auto.layer_candidates import LayerCandidate, layer_candidates
from fmcompress.methods.auto.rate_distortion import candidate_subspaces, embedding_distortion, linear_distortion
from fmcompress.methods.auto.unbeaten_candidates import field_candidates
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.field_weights import FieldWeights, all_weights, split
from fmcompress.quantization.knapsack import allocate
from fmcompress.quantization.outliers import standing_apart, without
from fmcompress.quantization.parallel import side_by_side
from fmcompress.quantization.plan import Plan
from fmcompress.quantization.sensitivity import Sensitivity, shares
from fmcompress.quantization.typical_rows import drawn_batch
from fmcompress.sizes import format_size
from fmcompress.types import BoolArray, Float64Array, Int64Array, UInt8Array

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch
    from fmcompress.methods.auto.held_out_loss import HeldOutLoss

_LEAST_SPLIT_CATEGORIES = 128
_TIERS = 2
_DRAWN_ROWS = 16_384
_LLOYD_ROUNDS = 32
_ROUNDS = 3
# Shares of measured rises in the blends with expected ones that allocations start from; the true loss decides.
_SHARES = (1.0, 0.5, 0.0)


@dataclass(frozen=True)
class PricedCandidates:
    """The candidates of each field of a factorization machine: all that does not depend on the budget.

    With held-out rows candidates have the rise of the loss of these rows; without, the expected one.

    Attributes:
        frame: what is fixed of the artifact, but for its vocabulary.
        splits: ways to split each field into tiers: the tier of each category, uint8 (cardinality,).
        by_tier: the candidates of each tier.
        blends: those of each field, for each share of measured and expected rises that is tried.
        held_out: the held-out rows; None where there are none.
        expected: the candidates of each tier with expected rises, beside held-out rows.
        layers: the candidates of each dense layer; empty where there is no network.
    """

    frame: Frame
    splits: list[list[UInt8Array]]
    by_tier: ByTier
    blends: list[list[list[FieldCandidate]]]
    held_out: HeldOutLoss | None = None
    expected: ByTier | None = None
    layers: Sequence[Sequence[LayerCandidate]] = ()


@dataclass(frozen=True)
class Chosen:
    """How everything is stored.

    Attributes:
        fields: of each field.
        network_bytes: bytes of a weight of each dense layer; None where there is no network.
    """

    fields: list[FieldCandidate]
    network_bytes: tuple[int, ...] | None

    @classmethod
    def of(cls, fields: list[FieldCandidate], layers: Sequence[LayerCandidate]) -> Chosen:
        """Return what is chosen of the fields and of the dense layers."""
        return cls(fields, tuple(layer.value_bytes for layer in layers) or None)


def price_candidates(
    checkpoint: FMCheckpoint,
    counts: Int64Array | None,
    sensitivity: Sensitivity,
    held_out: Batch | None = None,
    *,
    seed: int,
    compact: bool = False,
    calibrated: bool = False,
    progress: Progress = SILENT,
) -> PricedCandidates:
    """Return the candidates of each field, with their bytes and their rise of the loss.

    Args:
        checkpoint: the factorization machine.
        counts: rows in which each category is active, int64 (categories,); None where that is not known.
        sensitivity: what errors cost.
        held_out: rows that it was not trained on.
        seed: of k-means.
        compact: whether they are stored in the compact layout.
        calibrated: whether logits are to be calibrated when all is stored.
        progress: told of each step.
    """
    schema = checkpoint.schema
    of_fields = [None] * len(schema) if counts is None else schema.split(counts)
    weights = all_weights(checkpoint, sensitivity)
    splits = [
        ways_to_split(own, field.cardinality, far, standing_apart(field.embeddings, field.linear))
        for own, field, far in zip(of_fields, weights, schema.split(sensitivity.far_out), strict=True)
    ]
    if held_out is None:
        priced = price_by_distortion(
            Frame.of(checkpoint), weights, splits, seed=seed, compact=compact, progress=progress
        )
        if checkpoint.network is None:
            return priced
        drawn = drawn_batch(checkpoint, shares(schema, counts), _DRAWN_ROWS)
        return replace(priced, layers=layer_candidates(checkpoint, drawn, sensitivity.negligible))
    from fmcompress.methods.auto.held_out_loss import prepare_held_out

    # The loss of a row that one category decides says nothing of all others, and would drown out what does.
    rows = without(held_out, sensitivity.far_out, schema)
    found = prepare_held_out(
        weights, checkpoint, splits, rows, seed=seed, compact=compact, calibrated=calibrated, progress=progress
    )
    measured, expected = found.measured(), found.expected()
    blends = [_by_field(schema, _blended(measured, expected, share)) for share in _SHARES]
    layers = layer_candidates(checkpoint, rows, sensitivity.negligible)
    return PricedCandidates(Frame.of(checkpoint), splits, measured, blends, found, expected, layers)


def price_by_distortion(
    frame: Frame,
    weights: Sequence[FieldWeights],
    splits: list[list[UInt8Array]],
    *,
    seed: int,
    compact: bool = False,
    progress: Progress = SILENT,
) -> PricedCandidates:
    """Return the candidates of each field, with their bytes and their expected rise of the loss.

    Args:
        frame: what is fixed of the artifact, but for its vocabulary.
        weights: of each field, and what errors in them cost.
        splits: ways to split each field into tiers, see ``ways_to_split``: uint8 (cardinality,) each.
        seed: of k-means.
        compact: whether they are stored in the compact layout.
        progress: told of each step.
    """
    by_tier = _expected(weights, splits, seed, compact, progress)
    return PricedCandidates(frame, splits, by_tier, [_by_field(frame.schema, by_tier)])


def allocate_bits(priced: PricedCandidates, origin: Origin, *, vocabulary_bytes: int = 0) -> Plan:
    """Choose how to store each field: the least loss within the budget.

    Args:
        priced: the candidates.
        origin: what the artifact will say of itself; with the budget.
        vocabulary_bytes: size of the vocabulary that it will carry.

    Raises:
        BudgetError: no artifact of this model fits the budget.
    """
    frame = replace(priced.frame, vocabulary_bytes=vocabulary_bytes)
    fixed = fixed_bytes(frame, origin) - frame.dense_layers.nbytes
    chosen = _within_budget(priced, origin, fixed, vocabulary_bytes)
    tiers = [tier for field in chosen.fields for tier in field.tiers]
    of = [ways[field.split] for ways, field in zip(priced.splits, chosen.fields, strict=True)]
    largest_layers = [max(layer, key=lambda one: one.payload_bytes) for layer in priced.layers]
    return Plan(
        Tiers(priced.frame.schema, np.concatenate(of)),
        tuple(tier.quantizer for tier in tiers),
        _exact_bytes(priced, origin, chosen, vocabulary_bytes),
        max(
            _exact_bytes(priced, origin, Chosen.of([field[-1] for field in fields], largest_layers), vocabulary_bytes)
            for fields in priced.blends
        ),
        tuple(tier.metric for tier in tiers),
        None if priced.held_out is None else _rises(priced.by_tier, chosen.fields),
        chosen.network_bytes,
        sum(field.error for field in chosen.fields),
    )


def _allocated(priced: PricedCandidates, fields: Sequence[Sequence[FieldCandidate]], allowed: int) -> Chosen | None:
    """Return the best choice of fields and dense layers that fits in so many bytes; None where none does."""
    groups: list[Sequence[FieldCandidate | LayerCandidate]] = [*fields, *priced.layers]
    found = allocate(groups, allowed)
    if found is None:
        return None
    own = [one for one in found if isinstance(one, FieldCandidate)]
    return Chosen.of(own, [one for one in found if isinstance(one, LayerCandidate)])


def _within_budget(priced: PricedCandidates, origin: Origin, fixed: int, vocabulary_bytes: int) -> Chosen:
    """Return the best candidates whose artifact is within the budget, header and all.

    Where nearly everything is in fp32, sizes of tensors may take some digits more in the header than they are counted
    with.
    """
    allowed = origin.budget_bytes - fixed
    while True:
        starts = [_allocated(priced, fields, allowed) for fields in priced.blends]
        chosen = starts[0]
        if chosen is None:
            layers = [min(layer, key=lambda one: one.payload_bytes) for layer in priced.layers]
            smallest = Chosen.of([field[0] for field in priced.blends[0]], layers)
            smallest_bytes = _exact_bytes(priced, origin, smallest, vocabulary_bytes)
            if smallest_bytes > origin.budget_bytes:
                raise _too_small(origin.budget_bytes, smallest_bytes)
            return smallest
        if priced.held_out is not None:
            chosen = _refined(priced, priced.held_out, [start for start in starts if start], allowed)
        excess = _exact_bytes(priced, origin, chosen, vocabulary_bytes) - origin.budget_bytes
        if excess <= 0:
            return chosen
        allowed -= excess


def _exact_bytes(priced: PricedCandidates, origin: Origin, chosen: Chosen, vocabulary_bytes: int) -> int:
    """Return the exact size of the artifact of chosen candidates."""
    frame = replace(priced.frame, vocabulary_bytes=vocabulary_bytes).with_layers(chosen.network_bytes)
    quantizers = [tier.quantizer for field in chosen.fields for tier in field.tiers]
    sizes = [np.bincount(ways[field.split]).tolist() for ways, field in zip(priced.splits, chosen.fields, strict=True)]
    return artifact_bytes(frame, origin, quantizers, sizes)


def _too_small(budget_bytes: int, smallest_bytes: int) -> BudgetError:
    return BudgetError(
        f"budget of {format_size(budget_bytes)} is too small: "
        f"the smallest artifact of this model has {smallest_bytes:,} bytes",
        smallest_bytes=smallest_bytes,
        hint=f"--budget {smallest_bytes} is the least that works",
    )


def _refined(priced: PricedCandidates, held_out: HeldOutLoss, starts: Sequence[Chosen], allowed: int) -> Chosen:
    """Return the start with the least loss, measured again with its fields so stored as long as that pays."""
    losses = [_loss(held_out, start) for start in starts]
    best = int(np.argmin(losses))
    chosen, least, share = starts[best], losses[best], _SHARES[best]
    for _ in range(_ROUNDS):
        held_out.substitute(chosen.fields)
        blend = _blended(held_out.measured(), priced.expected, share)
        found = _allocated(priced, _by_field(priced.frame.schema, blend), allowed)
        if found is None or found == chosen:
            break
        loss = _loss(held_out, found)
        if loss >= least:
            break
        chosen, least = found, loss
    return chosen


def _loss(held_out: HeldOutLoss, chosen: Chosen) -> float:
    """Return the true loss of the held-out rows with the fields so stored."""
    held_out.substitute(chosen.fields)
    return held_out.loss()


def _blended(measured: ByTier, expected: ByTier | None, share: float) -> ByTier:
    """Return the candidates with rises between the measured and the expected ones."""
    if share == 1 or expected is None:
        return measured
    return map_tiers(partial(blended, share=share), measured, expected)


def _by_field(schema: Schema, by_tier: ByTier) -> list[list[FieldCandidate]]:
    return list(map(field_candidates, schema.fields, by_tier))


def _rises(by_tier: ByTier, chosen: Sequence[FieldCandidate]) -> tuple[float, ...]:
    """Return the rise of the loss by each tier with all other fields as they are."""
    return tuple(
        candidates.rise(stored)
        for ways, field in zip(by_tier, chosen, strict=True)
        for candidates, stored in zip(ways[field.split], field.tiers, strict=True)
    )


def _expected(
    weights: Sequence[FieldWeights], splits: list[list[UInt8Array]], seed: int, compact: bool, progress: Progress
) -> ByTier:
    """Return the candidates with the expected loss of each, from rate and distortion."""
    tiers = [[list(split(field, of)) for of in ways] for field, ways in zip(weights, splits, strict=True)]
    for tier in chain.from_iterable(chain.from_iterable(tiers)):
        if tier.is_large:
            _ = tier.covariance  # now, by all threads
    works = [
        work
        for tier in chain.from_iterable(chain.from_iterable(tiers))
        for work in (
            *(partial(embedding_distortion, tier, own, seed=seed) for own in candidate_subspaces(tier.dim)),
            *([partial(linear_distortion, tier, seed=seed)] if tier.has_linear else []),
        )
    ]
    found = iter(list(side_by_side(works, title="pricing quantizers", progress=progress)))

    def candidates(tier: FieldWeights) -> TierCandidates:
        embeddings = list(islice(found, len(candidate_subspaces(tier.dim))))
        return expected_candidates(tier, embeddings, next(found) if tier.has_linear else None, compact=compact)

    return map_tiers(candidates, tiers)


def ways_to_split(counts: Int64Array | None, cardinality: int, far: BoolArray, apart: BoolArray) -> list[UInt8Array]:
    """Return the ways to cut a field into tiers, see ``tier_splits``, with and without those apart in one of their own.

    What is far out never shares a tier with the others: beside it, all their errors seem to be none.

    Args:
        counts: rows in which each category is active, int64 (cardinality,); None where that is not known.
        cardinality: number of categories.
        far: those that are far out, bool (cardinality,).
        apart: those that stand apart, bool (cardinality,).
    """
    first = far | apart
    found = [] if far.any() else tier_splits(counts, cardinality)
    if first.any() and not first.all():
        rest = None if counts is None else counts[~first]
        for own in tier_splits(rest, int((~first).sum())):
            split = np.zeros(cardinality, dtype=np.uint8)
            split[~first] = 1 + own
            found.append(split)
    return found


def tier_splits(counts: Int64Array | None, cardinality: int) -> list[UInt8Array]:
    """Return the ways to cut a field into tiers that are worth a look, the whole field first.

    Args:
        counts: rows in which each category is active, int64 (cardinality,); None where that is not known.
        cardinality: number of categories.

    Returns:
        tier of each category, uint8 (cardinality,), from the most frequent one on.
    """
    whole = np.zeros(cardinality, dtype=np.uint8)
    if counts is None or cardinality < _LEAST_SPLIT_CATEGORIES or counts.min() == counts.max():
        return [whole]
    if cardinality <= BLOCK_ROWS:
        return [whole, _tiers(np.log1p(counts.astype(np.float64)))]
    different, often = np.unique(counts, return_counts=True)  # of many categories, counts are much fewer
    of_counts = _tiers(np.log1p(different.astype(np.float64)), often)
    found = np.empty_like(whole)
    for start in range(0, cardinality, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        found[rows] = of_counts[np.searchsorted(different, counts[rows])]
    return [whole, found]


def _tiers(popularity: Float64Array, often: Int64Array | None = None) -> UInt8Array:
    """Return k-means clusters of numbers, the largest first; none is empty where the numbers differ.

    Args:
        popularity: the numbers, float64 (n,).
        often: how often each is there, int64 (n,); None takes each once.
    """
    centres = np.linspace(popularity.max(), popularity.min(), _TIERS)
    for _ in range(_LLOYD_ROUNDS):
        tier = np.abs(popularity[:, None] - centres).argmin(axis=1)
        centres = np.array([_mean(popularity, often, tier == number) for number in range(_TIERS)])
    return np.asarray(np.abs(popularity[:, None] - centres).argmin(axis=1), dtype=np.uint8)


def _mean(numbers: Float64Array, often: Int64Array | None, some: BoolArray) -> float:
    return float(numbers[some].mean() if often is None else np.average(numbers[some], weights=often[some]))
