"""Links: predictions, losses and their derivatives, against plain formulas."""

import numpy as np
import pytest
from scipy.stats import logistic, norm

from fmcompress.errors import UsageError
from fmcompress.fm.links import Link, parse_link

TEXTS = ["sigmoid", "probit", "identity", "clip:1:5"]
LOGITS = np.linspace(-4, 7, 45)
TARGETS = np.linspace(0, 1, 45)


def test_predictions_are_those_of_the_formulas():
    expected = {
        "sigmoid": 1 / (1 + np.exp(-LOGITS)),
        "probit": norm.cdf(LOGITS),
        "identity": LOGITS,
        "clip:1:5": np.clip(LOGITS, 1, 5),
    }
    for text in TEXTS:
        found = parse_link(text).predict(LOGITS)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[text], rtol=1e-6)


@pytest.mark.parametrize("text", ["sigmoid", "probit"])
def test_the_loss_of_a_probability_is_cross_entropy(text):
    link = parse_link(text)
    distribution = logistic if text == "sigmoid" else norm
    expected = -(TARGETS * distribution.logcdf(LOGITS) + (1 - TARGETS) * distribution.logsf(LOGITS))
    np.testing.assert_allclose(link.losses(LOGITS, TARGETS), expected, rtol=1e-9)


@pytest.mark.parametrize("text", TEXTS)
def test_slopes_and_curvatures_are_the_derivatives_of_the_loss(text):
    link, step = parse_link(text), 1e-5
    logits = np.clip(LOGITS, 1.001, 4.999) if text == "clip:1:5" else LOGITS
    up, down = link.losses(logits + step, TARGETS), link.losses(logits - step, TARGETS)
    np.testing.assert_allclose(link.slopes(logits, TARGETS), (up - down) / (2 * step), atol=1e-6)
    if link.regression:
        expected = np.ones(len(logits))
    else:
        # The mean of the second derivative over labels drawn by the prediction itself.
        p = link.predict(logits).astype(np.float64)
        ones, zeros = (
            (link.slopes(logits + step, label) - link.slopes(logits - step, label)) / (2 * step)
            for label in (np.ones(len(p)), np.zeros(len(p)))
        )
        expected = p * ones + (1 - p) * zeros
    np.testing.assert_allclose(link.curvatures(logits), expected, atol=1e-5)


def test_beyond_the_range_of_a_clip_only_what_is_wrong_pulls():
    link = parse_link("clip:1:5")
    assert link.losses(np.array([9.0, 9.0]), np.array([5.0, 4.0])).tolist() == [0.0, 0.5]
    assert link.slopes(np.array([9.0, 9.0]), np.array([5.0, 4.0])).tolist() == [0.0, 1.0]
    assert link.curvatures(np.array([9.0])) < 0.1


@pytest.mark.parametrize("text", TEXTS)
def test_extreme_logits_have_finite_losses_and_derivatives(text):
    link, logits, targets = parse_link(text), np.array([-40.0, 40.0]), np.array([1.0, 0.0])
    for values in (link.losses(logits, targets), link.slopes(logits, targets), link.curvatures(logits)):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("text", TEXTS)
def test_a_link_is_written_as_it_is_read(text):
    assert str(parse_link(text)) == text


@pytest.mark.parametrize("text", ["", "logit", "sigmoid:1", "clip", "clip:1", "clip:5:1", "clip:1:nan", "clip:a:b"])
def test_what_is_no_link_is_refused(text):
    with pytest.raises(UsageError, match="expected sigmoid, probit, identity or clip:LOW:HIGH"):
        parse_link(text)


def test_only_numbers_of_any_size_are_regression():
    assert [Link(name).regression for name in ("sigmoid", "probit", "identity", "clip")] == [False, False, True, True]
