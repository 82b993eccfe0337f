"""k-means in which bits count: least cost of each point, fewer bits at a higher price, idle codewords left out."""

import numpy as np
import pytest

from fmcompress.quantization.rated_kmeans import Rated, bit_prices, constrained, of_equal_rates, rated_codes

POINTS = np.random.default_rng(0).normal(size=(600, 3)).astype(np.float32)
WEIGHTS = 1 / np.random.default_rng(1).integers(1, 300, 600)


def cost(rated, price):
    codes = rated_codes(POINTS, bit_prices(WEIGHTS, price), rated)
    squares = np.square(POINTS - rated.centroids[codes]).sum(axis=1)
    return float(WEIGHTS @ squares + price * rated.rates[codes].sum())


def made(price, *, number_bits=8.0, rounds=8):
    return constrained(POINTS, WEIGHTS, of_equal_rates(POINTS[:64]), price, number_bits=number_bits, rounds=rounds)


def test_each_point_takes_the_codeword_that_costs_least():
    rng = np.random.default_rng(2)
    rated = Rated(rng.normal(size=(20, 3)).astype(np.float32), rng.uniform(1, 9, 20).astype(np.float32), 0.0)
    prices = bit_prices(WEIGHTS, 0.01)
    squares = np.square(POINTS[:, None] - rated.centroids).sum(axis=2)
    expected = (squares + prices[:, None] * rated.rates).argmin(axis=1)
    np.testing.assert_array_equal(rated_codes(POINTS, prices, rated), expected)


def test_the_dearer_a_bit_the_fewer_bits_and_codewords():
    found = [made(price) for price in (0.0, 1e-4, 1e-3, 1e-2)]
    assert np.all(np.diff([rated.bits for rated in found]) < 0)
    assert np.all(np.diff([len(rated.centroids) for rated in found]) <= 0)
    assert len(found[-1].centroids) < 32


def test_without_a_price_it_is_k_means():
    found = made(0.0)
    codes = rated_codes(POINTS, np.zeros(600), found)
    np.testing.assert_array_equal(codes, np.square(POINTS[:, None] - found.centroids).sum(axis=2).argmin(axis=1))


def test_more_rounds_cost_no_more():
    price = 1e-3
    assert cost(made(price, number_bits=0, rounds=12), price) <= cost(made(price, number_bits=0, rounds=2), price)


def test_bits_are_those_of_the_codes():
    found = made(1e-3)
    assert np.exp2(-found.rates).sum() == pytest.approx(1, abs=1e-5)
    assert found.bits == pytest.approx(600 * (np.exp2(-found.rates) @ found.rates), rel=1e-5)


def test_categories_without_weight_take_the_codeword_with_the_fewest_bits():
    found = made(1e-3)
    weights = np.where(np.arange(600) < 10, 0.0, WEIGHTS)
    codes = rated_codes(POINTS, bit_prices(weights, 1e-3), found)
    assert set(codes[:10]) == {int(found.rates.argmin())}
