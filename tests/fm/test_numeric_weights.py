"""What numeric fields add to the logits, against the sum over all pairs of a row."""

import numpy as np

from fmcompress.fm.numeric_weights import NumericWeights

RNG = np.random.default_rng(0)
WEIGHTS = NumericWeights(RNG.standard_normal(3, np.float32), RNG.standard_normal((3, 4), np.float32))
VALUES = RNG.standard_normal((20, 3), np.float32)
SUMS = RNG.standard_normal((20, 4), np.float32)


def expected():
    """Return Σ_j x_j w_j, and x_j v_j multiplied with S and with each other."""
    own = VALUES[:, :, None] * WEIGHTS.embeddings
    pairs = sum((own[:, i] * own[:, j]).sum(axis=1) for i in range(3) for j in range(i))
    return VALUES @ WEIGHTS.linear + (own.sum(axis=1) * SUMS).sum(axis=1) + pairs


def test_added_is_the_sum_over_pairs():
    found = WEIGHTS.added(VALUES, SUMS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(), rtol=1e-4, atol=1e-5)


def test_contributions_complete_the_square():
    sums, scalars = WEIGHTS.contributions(VALUES)
    assert sums.dtype == scalars.dtype == np.float32
    squares = (np.square(SUMS + sums).sum(axis=1) - np.square(SUMS).sum(axis=1)) / 2
    np.testing.assert_allclose(scalars + squares, expected(), rtol=1e-4, atol=1e-5)


def test_large_values_cancel_as_they_should():
    one = NumericWeights(np.zeros(1, np.float32), np.full((1, 4), 3, np.float32))
    assert one.added(np.float32([[1e15]]), np.zeros((1, 4), np.float32)).tolist() == [0]


def test_no_field_adds_nothing():
    none = NumericWeights.none(4)
    assert len(none) == 0
    assert none.added(np.empty((20, 0), np.float32), SUMS).tolist() == [0] * 20
