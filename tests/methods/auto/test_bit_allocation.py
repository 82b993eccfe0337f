"""Where fields are cut into tiers, and the allocation of bytes to them."""

import numpy as np
import pytest

from fmcompress.methods.auto.bit_allocation import tier_splits


def test_the_frequent_categories_are_the_first_tier():
    counts = np.where(np.arange(300) % 3 == 0, 1000, 3) + np.arange(300) % 2
    whole, cut = tier_splits(counts, 300)
    assert not whole.any()
    np.testing.assert_array_equal(cut == 0, counts >= 1000)


@pytest.mark.parametrize(
    ("counts", "cardinality"),
    [(None, 300), (np.full(300, 7), 300), (np.arange(20), 20), (np.array([5]), 1)],
    ids=["no counts", "equal counts", "few categories", "one category"],
)
def test_fields_stay_whole_where_there_is_nothing_to_tell_categories_apart(counts, cardinality):
    (whole,) = tier_splits(counts, cardinality)
    np.testing.assert_array_equal(whole, np.zeros(cardinality))


def test_no_tier_is_empty():
    rng = np.random.default_rng(0)
    for seed in range(20):
        counts = np.random.default_rng(seed).zipf(1.5, 200).clip(max=10**9)
        counts[rng.integers(200)] += 1
        for of in tier_splits(counts, 200):
            assert set(of) == set(range(int(of.max()) + 1))
