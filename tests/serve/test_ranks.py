"""Tiers and places of categories, found in the packed streams, against those of plain arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact.layout import field_layouts
from fmcompress.serve.memory import directory_bytes
from fmcompress.serve.ranks import TierRanks
from fmcompress.serve.windows import as_words
from tests.models import TIERED_SHAPES, packed


def assert_found(model):
    layouts = list(field_layouts(model.header))
    tiered = {column: field for column, field in enumerate(layouts) if field.tier_bytes}
    ranks = TierRanks(as_words(model.codes), tiered)
    assert ranks.columns == list(tiered)
    assert ranks._counts.nbytes == sum(map(directory_bytes, layouts))
    of = {column: own for column, own in enumerate(model.schema.split(model.tiers.of)) if column in tiered}
    ids = np.stack([np.arange(max(map(len, of.values()))) % len(own) for own in of.values()], axis=1)
    tiers, places = ranks.find(ids)
    for column, own in enumerate(of.values()):
        expected = np.array([np.cumsum(own == tier) - 1 for tier in range(own.max() + 1)])
        np.testing.assert_array_equal(tiers[:, column], own[ids[:, column]])
        np.testing.assert_array_equal(places[:, column], expected[own, np.arange(len(own))][ids[:, column]])


@pytest.mark.parametrize("shape", [name for name in TIERED_SHAPES if name != "int8"])
def test_every_category_is_found(shape):
    assert_found(packed(*TIERED_SHAPES[shape]))


@settings(deadline=None)
@given(
    fields=st.lists(st.lists(st.integers(1, 150), min_size=2, max_size=4), min_size=1, max_size=3),
    before=st.integers(1, 40),
    seed=st.integers(0, 99),
)
def test_streams_may_begin_and_end_anywhere_in_a_word(fields, before, seed):
    described = [" | ".join(f"{size} 1x8 raw" for size in sizes) for sizes in fields]
    assert_found(packed(2, f"{before} 1x8 raw", *described, seed=seed))


@pytest.mark.parametrize("tiers", [2, 3, 4])
def test_tiers_of_one_category_and_of_almost_all(tiers):
    rare = " | ".join(["1 shared shared"] * (tiers - 1))
    assert_found(packed(2, f"5000 shared shared | {rare}", f"{rare} | 5000 shared shared"))


def test_a_directory_takes_half_a_byte_per_category_at_most():
    model = packed(1, *(" | ".join(["8000 shared shared"] * tiers) for tiers in (2, 3, 4)))
    for field in field_layouts(model.header):
        assert directory_bytes(field) <= sum(field.sizes) / 2 + 32
    assert directory_bytes(next(field_layouts(packed(1, "8000 shared shared").header))) == 0
