"""The menu of a field."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.quantization.menu import LARGEST_CODEBOOKS, LARGEST_LINEAR_CODEBOOK, Option, pareto
from fmcompress.quantizer import Quantizer

from .weights import menu_fields, menu_of, quantized_field, random_field

FIELDS = [*menu_fields(), random_field(300, 1), random_field(90, 33)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"{field.cardinality} x {field.dim}")
def test_no_option_beats_another_and_all_are_counted_to_the_byte(field):
    menu = menu_of(field, seed=0)
    for one, other in pairwise(menu):
        assert one.payload_bytes < other.payload_bytes
        assert one.error > other.error
    for option in menu:
        assert option.payload_bytes == option.quantizer.payload_bytes(field.cardinality, field.dim)
        assert option.error >= 0
        subspaces = len(option.quantizer.codewords)
        assert option.quantizer.raw or option.quantizer.codewords[0] <= LARGEST_CODEBOOKS[subspaces]
        assert option.quantizer.linear_codewords <= LARGEST_LINEAR_CODEBOOK
    assert menu[-1].error == 0
    shared = Quantizer((1,), 1).payload_bytes(field.cardinality, field.dim)
    assert menu[0].payload_bytes <= shared


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), min_size=1, max_size=40))
def test_pareto_keeps_just_what_nothing_beats(pairs):
    options = [Option(Quantizer(), payload, float(error)) for payload, error in pairs]
    kept = {(option.payload_bytes, option.error) for option in pareto(options)}
    unbeaten = {(b, e) for b, e in pairs if not any(c <= b and d <= e and (c, d) != (b, e) for c, d in pairs)}
    assert kept == unbeaten
    assert len(pareto(options)) == len(kept)


def test_errors_on_the_menu_are_near_those_of_real_codebooks():
    field = random_field(700, 8)
    for option in menu_of(field, seed=0)[::5]:
        real = quantized_field(field, option.quantizer, seed=0).error
        # Subspaces are priced as if their errors were uncorrelated, and sizes between measured ones are estimated.
        assert real / 2.5 - 1e-9 <= option.error <= 2.5 * real + 1e-9


def test_the_same_seed_gives_the_same_menu():
    field = random_field(700, 8)
    assert menu_of(field, seed=3) == menu_of(field, seed=3)
