"""Prices: what is expected of sizes, and how measurements correct it."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.methods.xlightfm.options import SpaceOptions
from fmcompress.methods.xlightfm.prices import Prices, shrunk
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.methods.xlightfm.supernet import start_search
from fmcompress.quantization.measurements import Measurements
from tests.models import origin, random_checkpoint

EXPECTED = np.array([[[8.0, 4.0, 2.0, 0.0], [4.0, 2.0, 1.0, 0.0]], [[80.0, 40.0, 20.0, 0.0], [40.0, 20.0, 10.0, 0.0]]])


def test_expected_prices_are_the_expected_rise_of_the_loss():
    checkpoint = random_checkpoint((90, 50, 5), dim=4)
    counts = np.random.default_rng(0).integers(0, 30, 145)
    measured = Measurements(replace(checkpoint, counts=counts))
    space = lay_out(checkpoint, SpaceOptions(subspaces=2, candidates=(4, 16, 64), linear_codewords=8), origin())
    start = start_search(measured, space, seed=0)
    costs = measured.sensitivity
    for place, number in np.ndindex(2, 3):
        rows = checkpoint.schema.rows(place)
        decoded, own = start.models[number].fields[place].embeddings(), checkpoint.embeddings[rows]
        for subspace in range(2):
            part = slice(2 * subspace, 2 * subspace + 2)
            rise = sum(
                0.5 * share * shift @ costs.hessians[place][part, part] @ shift
                for share, shift in zip(costs.frequencies[rows], decoded[:, part] - own[:, part], strict=True)
            )
            least = start.prices[place, subspace, :number].min(initial=np.inf)
            assert start.prices[place, subspace, number] == pytest.approx(min(rise, least), rel=1e-4, abs=1e-12)


def measured(noise, truth, count=40, seed=0, visited=True):
    """Return prices of which all candidates were trained as often, and measured so many times."""
    rng, found = np.random.default_rng(seed), Prices(EXPECTED)
    found.visits += 100 if visited else 0
    found.visit(np.zeros((2, 2), dtype=np.int64))
    for number in range(count):
        found.add(truth + noise * rng.normal(size=truth.shape) + rng.normal(), weight=number + 1)
    return found


def differences(prices):
    return prices - prices[..., -1:]


def test_without_measurements_they_are_what_is_expected():
    np.testing.assert_array_equal(Prices(EXPECTED).estimates(), EXPECTED)


def plain(prices):
    """Return the estimates of prices by the equations of the module, one by one, without isotonic regression."""
    found = np.empty_like(prices.expected)
    fields, groups, candidates = prices.expected.shape
    for f in range(fields):
        share = [sum(prices.visits[f, g, k] for g in range(groups)) / prices.visits[f].sum() for k in range(candidates)]
        s, m, e = np.empty((3, groups, candidates))
        for g in range(groups):
            s[g] = prices.expected[f, g] - sum(share[k] * prices.expected[f, g, k] for k in range(candidates))
            rises = [
                losses[f, g] - sum(share[k] * losses[f, g, k] for k in range(candidates)) for losses in prices.losses
            ]
            weights = prices.weights / prices.weights.sum()
            m[g] = sum(weight * rise for weight, rise in zip(weights, rises, strict=True))
            n = len(rises)
            e[g] = np.sqrt(sum(w**2 * (r - m[g]) ** 2 for w, r in zip(weights, rises, strict=True)) * n / (n - 1))
        size = [np.sqrt(sum(share[k] * s[g, k] ** 2 for k in range(candidates))) for g in range(groups)]
        common = np.array([size[g] * sum(m[h] / size[h] for h in range(groups)) / groups for g in range(groups)])
        own = max(0, 1 - (e**2).sum() * (groups - 1) / groups / ((m - common) ** 2).sum())
        common_e = np.array(
            [size[g] * np.sqrt(sum(e[h] ** 2 / size[h] ** 2 for h in range(groups))) / groups for g in range(groups)]
        )
        m, e = own * m + (1 - own) * common, np.sqrt(own**2 * e**2 + (1 - own) ** 2 * common_e**2)
        n = prices.visits[f]
        t = n / (n + n.mean(axis=1)[:, None])
        c = ((m * s * t / e**2).sum() + 1) / ((s**2 * t / e**2).sum() + 1)
        for g, k in np.ndindex(groups, candidates):
            sigma = 0.25 * c * size[g]
            known = t[g, k] / e[g, k] ** 2
            found[f, g, k] = (m[g, k] * known + c * s[g, k] / sigma**2) / (known + 1 / sigma**2)
    return found


def test_estimates_are_those_of_the_equations():
    prices = measured(0.03, 0.7 * EXPECTED)
    prices.visits *= np.array([1.0, 2.0, 3.0, 1.5])
    expected = plain(prices)
    assert (np.diff(expected, axis=2) < 0).all()  # isotonic regression has nothing to do
    np.testing.assert_allclose(prices.estimates(), expected, rtol=1e-9)


def test_measurements_that_are_sure_decide():
    truth = EXPECTED[:, :, [0, 0, 2, 3]]
    np.testing.assert_allclose(differences(measured(1e-4, truth).estimates()), truth, rtol=1e-2, atol=1e-2)


def test_measurements_that_are_noise_change_little():
    found = differences(measured(1e5, EXPECTED).estimates())
    np.testing.assert_allclose(found, EXPECTED, atol=0.1 * EXPECTED.max())


def test_what_was_never_trained_is_priced_as_its_field_is():
    """The first of four sizes is measured as too dear, but was never trained: the others say that all cost half."""
    prices = measured(0.01, 0.5 * EXPECTED + np.array([30.0, 0.0, 0.0, 0.0]))
    prices.visits[:, :, 0] = 0
    np.testing.assert_allclose(differences(prices.estimates())[1], 0.5 * EXPECTED[1], rtol=0.35)


def test_no_price_rises_with_the_size():
    assert (np.diff(measured(30.0, EXPECTED).estimates(), axis=2) <= 1e-9).all()


def test_differences_between_subspaces_that_are_noise_are_left_out():
    """Four subspaces of the same field, of which twice as much is expected of the first."""
    expected = np.array([[2.0, 1.0, 0.0]] + [[1.0, 0.5, 0.0]] * 3)
    scale = np.array([[2.0], [1.0], [1.0], [1.0]])
    rng = np.random.default_rng(2)
    mean = expected + 0.1 * rng.normal(size=(4, 3))
    found, errors = shrunk(mean, np.full((4, 3), 0.1), scale)
    assert np.abs(found - expected).sum() < np.abs(mean - expected).sum()
    assert (errors < 0.15).all()
    apart = mean + np.array([[5.0], [0.0], [-5.0], [0.0]])
    np.testing.assert_allclose(shrunk(apart, np.full((4, 3), 0.1), scale)[0], apart, atol=0.02)


def test_the_state_is_all_there_is():
    first, second = measured(1.0, EXPECTED), Prices(EXPECTED)
    second.load_state_dict(first.state_dict())
    for prices in (first, second):
        prices.visit(np.ones((2, 2), dtype=np.int64))
        prices.add(EXPECTED, 3.0)
    np.testing.assert_array_equal(first.estimates(), second.estimates())
