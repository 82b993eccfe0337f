"""Weights of fields and tiers, with what errors in them cost."""

import numpy as np
import pytest

from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.fm.tiers import Tiers
from fmcompress.quantization.field_weights import all_weights, split, whitened_subspaces
from fmcompress.quantization.sensitivity import from_moments
from tests.field_weights import random_field
from tests.models import random_checkpoint


@pytest.mark.parametrize(("dim", "subspaces"), [(8, 1), (8, 4), (7, 3), (5, 5), (1, 1)])
def test_distances_between_whitened_points_are_what_errors_cost(dim, subspaces):
    field = random_field(20, dim)
    for space, (start, end) in zip(
        whitened_subspaces(field.hessian, subspaces), subspace_bounds(dim, subspaces), strict=True
    ):
        shift = field.embeddings[1:, start:end] - field.embeddings[:-1, start:end]
        cost = np.einsum("nl,lm,nm->n", shift, field.hessian[start:end, start:end], shift)
        points = space.whiten(field.embeddings)
        distances = ((points[1:] - points[:-1]).astype(np.float64) ** 2).sum(axis=1)
        np.testing.assert_allclose(space.scale * distances, cost, rtol=1e-4)
        np.testing.assert_allclose(space.codewords(points), field.embeddings[:, start:end], rtol=1e-4, atol=1e-5)


def test_the_plain_metric_weighs_all_alike():
    field = random_field(50, 4)
    found = field.in_metric("euclidean")
    np.testing.assert_array_equal(found.hessian, np.eye(4))
    np.testing.assert_allclose(found.frequencies, 1 / 50)
    np.testing.assert_array_equal(found.embeddings, field.embeddings)


def test_weights_of_tiers_are_those_of_their_categories():
    checkpoint = random_checkpoint((40, 7), dim=3)
    costs = from_moments(checkpoint, checkpoint.counts)
    of = (np.arange(47) % 3 == 0).astype(np.uint8) * (np.arange(47) < 40)
    whole, tiers = all_weights(checkpoint, costs), all_weights(checkpoint, costs, Tiers(checkpoint.schema, of))
    assert [tier.cardinality for tier in tiers] == [26, 14, 7]
    for number, tier in enumerate(tiers[:2]):
        own = np.flatnonzero(of[:40] == number)
        np.testing.assert_array_equal(tier.embeddings, checkpoint.embeddings[own])
        np.testing.assert_array_equal(tier.linear, whole[0].linear[own])
        np.testing.assert_array_equal(tier.frequencies, costs.frequencies[own])
        np.testing.assert_array_equal(tier.hessian, whole[0].hessian)
    (same,) = split(whole[1], np.zeros(7, np.uint8))
    assert same is whole[1]
