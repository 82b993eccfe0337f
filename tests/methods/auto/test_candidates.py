"""The menu of a field, and of its tiers."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact.header import entry_bytes, tier_bytes
from fmcompress.fm.quantizer import HALF, Quantizer, code_bits, embedding_spec, linear_spec
from fmcompress.fm.schema import Field
from fmcompress.methods.auto.candidates import (
    TierCandidate,
    TierSplit,
    codebook_candidates,
    field_candidates,
    pareto,
    thinned,
)
from fmcompress.methods.auto.rate_distortion import LARGEST_CODEBOOKS, LARGEST_LINEAR_CODEBOOK, RateDistortion
from tests.field_weights import candidates_of, quantized_field, random_field, some_fields

FIELDS = [*some_fields(), random_field(300, 1), random_field(90, 33)]


def option(payload, error):
    return TierCandidate(Quantizer(), payload, float(error))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.cardinality} x {field.dim}")
def test_no_option_beats_another_and_all_are_counted_to_the_byte(field):
    menu = candidates_of(field, seed=0)
    for one, other in pairwise(menu):
        assert one.payload_bytes < other.payload_bytes
        assert one.error > other.error
    for found in menu:
        quantizer = found.quantizer
        names = len(embedding_spec(quantizer)) + len(linear_spec(quantizer))
        assert found.payload_bytes == quantizer.payload_bytes(field.cardinality, field.dim) + names
        assert found.error >= 0
        assert quantizer.raw or max(quantizer.codewords) <= LARGEST_CODEBOOKS[len(quantizer.codewords)]
        assert quantizer.linear_codewords <= LARGEST_LINEAR_CODEBOOK
    assert menu[-1].error == 0
    shared = Quantizer((1,), 1).payload_bytes(field.cardinality, field.dim)
    assert menu[0].payload_bytes <= shared + len("sharedshared")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40))
def test_pareto_keeps_just_what_nothing_beats(pairs):
    options = [option(*pair) for pair in pairs]
    kept = {(o.payload_bytes, o.error) for o in pareto(options)}
    unbeaten = {(b, e) for b, e in pairs if not any(c <= b and d <= e and (c, d) != (b, e) for c, d in pairs)}
    assert kept == unbeaten
    assert len(pareto(options)) == len(kept)


def test_thinning_keeps_the_smallest_and_the_best():
    options = [option(size, 1000 - size) for size in range(1, 900)]
    kept = thinned(options, 20)
    assert len(kept) <= 21
    assert kept[0] is options[0]
    assert kept[-1] is options[-1]


def test_errors_on_the_menu_are_near_those_of_real_codebooks():
    field = random_field(700, 8)
    for found in candidates_of(field, seed=0)[::7]:
        if found.quantizer.value_bytes == HALF:
            real = quantized_field(field, found.quantizer, seed=0).error
            # Errors of subspaces are priced as uncorrelated; sizes and subspaces between measured ones are estimated.
            assert real / 3 - 1e-9 <= found.error <= 3 * real + 1e-9


def test_the_same_seed_gives_the_same_menu():
    field = random_field(700, 8)
    assert candidates_of(field, seed=3) == candidates_of(field, seed=3)


def test_subspaces_get_codewords_where_they_pay_most():
    falling = np.array([1, 0.5, 0.25, 0.125])
    curve = RateDistortion((1, 2, 4, 8), np.stack([10 * falling, 1 * falling]))
    choices = list(codebook_candidates(curve, cardinality=1000, dim=4))
    assert [choice.codewords for choice in choices[:2]] == [(2, 1), (4, 1)]
    for choice in choices:
        # No mixture of sizes with at most its bytes is better.
        size = sum(2 * k + 1000 * code_bits(k) / 8 for k in choice.codewords)
        errors = [
            sum(float(curve.errors[d, curve.sizes.index(k)]) for d, k in enumerate(mixture))
            for mixture in product(curve.sizes, repeat=2)
            if sum(2 * k + 1000 * code_bits(k) / 8 for k in mixture) <= size
        ]
        assert choice.error == pytest.approx(min(errors))


def test_tiers_are_combined_to_the_byte_and_only_where_they_pay():
    field = Field("item", 300)
    whole = candidates_of(random_field(300, 4))
    tiers = [candidates_of(random_field(100, 4, seed=1)), candidates_of(random_field(200, 4, seed=2))]
    options = field_candidates(field, [TierSplit((300,), (whole,)), TierSplit((100, 200), tuple(tiers))])
    sizes = {0: (300,), 1: (100, 200)}
    for found in options:
        own = sizes[found.split]
        quantizers = [part.quantizer for part in found.tiers]
        payload = sum(q.payload_bytes(n, 4) for q, n in zip(quantizers, own, strict=True))
        assert found.payload_bytes == payload + entry_bytes(field, quantizers, own) + tier_bytes(own)
        assert found.error == pytest.approx(sum(part.error for part in found.tiers))
    assert {found.split for found in options} == {0, 1}
    for one, other in pairwise(options):
        assert one.payload_bytes < other.payload_bytes
        assert one.error > other.error
