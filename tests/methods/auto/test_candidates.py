"""The candidates of a field, and of its tiers."""

from itertools import pairwise, product

import numpy as np
import pytest

from fmcompress.artifact.header import embedding_name_bytes, entry_bytes, linear_name_bytes, tier_bytes
from fmcompress.fm.quantizer import HALF, Quantizer, code_bits, embedding_spec, linear_spec
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.candidates import codebook_candidates
from fmcompress.methods.auto.rate_distortion import LARGEST_CODEBOOKS, LARGEST_LINEAR_CODEBOOK, RateDistortion
from fmcompress.methods.auto.unbeaten_candidates import field_candidates, tier_candidates
from tests.field_weights import candidates_of, quantized_field, random_field, some_fields

FIELDS = [*some_fields(), random_field(300, 1), random_field(90, 33)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.cardinality} x {field.dim}")
def test_no_candidate_beats_another_and_all_are_counted_to_the_byte(field):
    candidates = tier_candidates(candidates_of(field, seed=0))
    for one, other in pairwise(candidates):
        assert one.payload_bytes < other.payload_bytes
        assert one.error > other.error
    for found in candidates:
        quantizer = found.quantizer
        names = len(embedding_spec(quantizer)) + len(linear_spec(quantizer))
        assert found.payload_bytes == quantizer.payload_bytes(field.cardinality, field.dim) + names
        assert found.error >= 0
        assert quantizer.raw or max(quantizer.codewords) <= LARGEST_CODEBOOKS[len(quantizer.codewords)]
        assert quantizer.linear_codewords <= LARGEST_LINEAR_CODEBOOK
    assert candidates[-1].error == 0
    shared = Quantizer((1,), 1).payload_bytes(field.cardinality, field.dim)
    assert candidates[0].payload_bytes <= shared + len("sharedshared")


def test_expected_errors_are_near_those_of_real_codebooks():
    field = random_field(700, 8)
    for found in tier_candidates(candidates_of(field, seed=0))[::7]:
        if found.quantizer.value_bytes == HALF:
            real = quantized_field(field, found.quantizer, seed=0).error
            # Errors of subspaces are priced as uncorrelated; sizes and subspaces between measured ones are estimated.
            assert real / 3 - 1e-9 <= found.error <= 3 * real + 1e-9


def test_numbers_of_few_bits_are_on_the_compact_menu_at_about_what_they_cost():
    field = random_field(700, 8)
    candidates = tier_candidates(candidates_of(field, seed=0, compact=True))
    bits = {found.quantizer.value_bits for found in candidates}
    assert {4, 5, 6, 8} <= bits
    assert all(found.quantizer.value_bits >= 8 for found in tier_candidates(candidates_of(field, seed=0)))
    for found in candidates:
        quantizer = found.quantizer
        names = embedding_name_bytes(quantizer, compact=True) + linear_name_bytes(quantizer, compact=True)
        assert found.payload_bytes == quantizer.compact_bytes(field.cardinality, field.dim) + names
    for found in candidates[::9]:
        if not found.quantizer.raw and found.quantizer.common_scale:
            real = quantized_field(field, found.quantizer, seed=0).error
            assert real / 3 - 1e-9 <= found.error <= 3 * real + 1e-9


def test_the_same_seed_gives_the_same_candidates():
    field = random_field(700, 8)
    assert candidates_of(field, seed=3) == candidates_of(field, seed=3)


def test_subspaces_get_codewords_where_they_pay_most():
    falling = np.array([1, 0.5, 0.25, 0.125])
    measured = RateDistortion((1, 2, 4, 8), np.stack([10 * falling, 1 * falling]), np.ones((2, 4)))
    mixtures = list(codebook_candidates(measured, cardinality=1000, dim=4))
    assert [chosen.codewords for chosen in mixtures[:2]] == [(2, 1), (4, 1)]
    for chosen in mixtures:
        # No mixture of sizes with at most its bytes is better.
        size = sum(2 * k + 1000 * code_bits(k) / 8 for k in chosen.codewords)
        errors = [
            sum(float(measured.errors[d, measured.sizes.index(k)]) for d, k in enumerate(mixture))
            for mixture in product(measured.sizes, repeat=2)
            if sum(2 * k + 1000 * code_bits(k) / 8 for k in mixture) <= size
        ]
        assert chosen.error == pytest.approx(min(errors))


def test_tiers_are_combined_to_the_byte_and_only_where_they_pay():
    field = Field("item", 300)
    tiers = [candidates_of(random_field(100, 4, seed=1)), candidates_of(random_field(200, 4, seed=2))]
    found_ways = field_candidates(field, [[candidates_of(random_field(300, 4))], tiers])
    sizes = {0: (300,), 1: (100, 200)}
    for found in found_ways:
        own = sizes[found.split]
        quantizers = [tier.quantizer for tier in found.tiers]
        payload = sum(q.payload_bytes(n, 4) for q, n in zip(quantizers, own, strict=True))
        assert found.payload_bytes == payload + entry_bytes(field, quantizers, own) + tier_bytes(own)
        assert found.error == pytest.approx(sum(tier.error for tier in found.tiers))
    assert {found.split for found in found_ways} == {0, 1}
    for one, other in pairwise(found_ways):
        assert one.payload_bytes < other.payload_bytes
        assert one.error > other.error
