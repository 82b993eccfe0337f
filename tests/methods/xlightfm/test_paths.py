"""Draws of paths: bytes as the budget says, as many candidates as asked for, cheap ones more often than dear ones."""

import numpy as np
import pytest

from fmcompress.methods.xlightfm.paths import draw, path_probabilities

PAYLOADS = np.array([[10, 20, 40, 80]] * 6)
PRICES = np.array([[8.0, 4.0, 2.0, 1.0]] * 3 + [[0.8, 0.4, 0.2, 0.1]] * 3)


@pytest.mark.parametrize("allowed", [120, 180, 240])
@pytest.mark.parametrize("wanted", [2.0, 2.5])
def test_they_are_those_of_a_lagrangian(allowed, wanted):
    found = path_probabilities(PRICES, PAYLOADS, allowed, wanted)
    np.testing.assert_allclose(np.exp(-(found * np.log(found)).sum(axis=1)), wanted, rtol=1e-4)
    assert (found * PAYLOADS).sum() == pytest.approx(allowed, rel=1e-3)
    # log p = constant − (u + λ b) / T in each codebook: two numbers explain four, and λ is the same in all.
    multipliers = []
    for logs, prices, payloads in zip(np.log(found), PRICES, PAYLOADS, strict=True):
        columns = np.stack([prices, payloads, np.ones(4)], axis=1)
        coefficients, *_ = np.linalg.lstsq(columns, logs, rcond=None)
        np.testing.assert_allclose(columns @ coefficients, logs, atol=1e-6)
        assert coefficients[0] < 0
        multipliers.append(coefficients[1] / coefficients[0])
    assert multipliers[0] > 0
    np.testing.assert_allclose(multipliers, multipliers[0], rtol=1e-4)


def test_where_all_fit_bytes_are_no_matter():
    found = path_probabilities(PRICES, PAYLOADS, 10_000, 2.0)
    assert (np.diff(found, axis=1) > 0).all()


def test_what_is_out_of_the_question_is_never_drawn():
    prices = PRICES.copy()
    prices[2, 3], prices[4, 1:] = np.inf, np.inf
    found = path_probabilities(prices, PAYLOADS, 240, 2.0)
    assert found[2, 3] == 0
    np.testing.assert_array_equal(found[4], [1, 0, 0, 0])


def test_prices_that_are_all_alike():
    found = path_probabilities(np.zeros((6, 4)), PAYLOADS, 10_000, 3.0)
    np.testing.assert_allclose(found, 0.25)


def test_draws_follow_the_probabilities():
    found, rng = path_probabilities(PRICES, PAYLOADS, 240, 2.5), np.random.default_rng(0)
    drawn = np.stack([draw(found, rng) for _ in range(4000)])
    shares = np.stack([(drawn == number).mean(axis=0) for number in range(4)], axis=1)
    np.testing.assert_allclose(shares, found, atol=0.03)
