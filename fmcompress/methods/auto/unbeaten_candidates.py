"""The ways to store a tier, and a field, that no other one beats in both bytes and loss.

Embeddings and linear weights of a tier are combined, and tiers of a field, to the byte; sums are made as arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from fmcompress.artifact.header import embedding_name_bytes, entry_bytes, linear_name_bytes, tier_bytes
from fmcompress.fm.quantizer import INT8, NO_LINEAR, Quantizer
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.candidates import FieldCandidate, TierCandidate, TierCandidates, WeightsCandidate
from fmcompress.quantization.field_weights import Metric
from fmcompress.quantization.knapsack import pareto, unbeaten

_MOST_TIER_CANDIDATES = 300
_MOST_FIELD_CANDIDATES = 600


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
