"""Expected losses of codebooks, against their equations in plain loops."""

import numpy as np
import pytest

from fmcompress.methods.auto.rate_distortion import (
    LARGEST_CODEBOOKS,
    candidate_subspaces,
    codebook_sizes,
    embedding_distortion,
    linear_distortion,
    nested_centroids,
)
from fmcompress.quantization.field_weights import whitened_subspaces
from tests.field_weights import random_field


def distortion(points, weights, centroids):
    """Return Σ_i p_i min_k ‖x_i − c_k‖²."""
    return sum(p * min(float(((x - c) ** 2).sum()) for c in centroids) for x, p in zip(points, weights, strict=True))


def cost_of_the_mean(field, start, end):
    """Return ½ Σ_i p_i δ_iᵀ H δ_i, with one codeword, the weighted mean, in these coordinates."""
    vectors = field.embeddings[:, start:end].astype(np.float64)
    mean = field.frequencies @ vectors / field.frequencies.sum()
    hessian = field.hessian[start:end, start:end]
    return 0.5 * sum(p * (v - mean) @ hessian @ (v - mean) for v, p in zip(vectors, field.frequencies, strict=True))


def test_sizes_are_powers_of_two_up_to_a_quarter_of_the_categories():
    assert codebook_sizes(3, 4096) == [1]
    assert codebook_sizes(70, 4096) == [1, 2, 4, 8, 16]
    assert codebook_sizes(10**6, 256)[-1] == 256
    assert candidate_subspaces(1) == [1]
    assert candidate_subspaces(9) == [1, 2, 4, 8]


def test_each_codebook_starts_from_the_one_before():
    field = random_field(200, 2)
    weights = field.frequencies.astype(np.float32)
    found = list(nested_centroids(field.embeddings, weights, [1, 2, 4, 16], seed=0))
    assert [len(centroids) for centroids in found] == [1, 2, 4, 16]
    mean = np.average(field.embeddings, axis=0, weights=field.frequencies)
    np.testing.assert_allclose(found[0][0], mean, rtol=1e-5)
    errors = [distortion(field.embeddings, weights, centroids) for centroids in found]
    assert errors == sorted(errors, reverse=True)
    again = list(nested_centroids(field.embeddings, weights, [1, 2, 4, 16], seed=0))
    assert all(map(np.array_equal, found, again))


@pytest.mark.parametrize("subspaces", [1, 2, 4])
def test_one_codeword_costs_the_variance_in_the_metric_of_the_loss(subspaces):
    field = random_field(60, 5)
    found = embedding_distortion(field, subspaces, seed=0)
    assert found.sizes == (1, 2, 4, 8)
    assert found.errors.shape == (subspaces, 4)
    for number, space in enumerate(whitened_subspaces(field.hessian, subspaces)):
        assert found.errors[number, 0] == pytest.approx(cost_of_the_mean(field, space.start, space.end), rel=1e-4)
    assert (np.diff(found.errors, axis=1) <= 0).all()


def test_measured_sizes_cost_what_their_codebooks_do():
    """One subspace, a small field: nothing is sampled, and no other subspace lends its shape."""
    field = random_field(80, 3)
    found = embedding_distortion(field, 1, seed=0)
    (space,) = whitened_subspaces(field.hessian, 1)
    points, weights = space.whiten(field.embeddings), field.frequencies.astype(np.float32)
    for centroids in nested_centroids(points, weights, [1, 4, 16], seed=0):
        expected = 0.5 * space.scale * distortion(points, field.frequencies, centroids)
        assert found.errors[0, found.sizes.index(len(centroids))] == pytest.approx(expected, rel=1e-3)


def test_sizes_between_measured_ones_lie_on_lines_in_logarithms():
    found = embedding_distortion(random_field(1000, 4), 1, seed=0)
    logs = dict(zip(found.sizes, np.log(found.errors).T, strict=True))
    for size in (2, 8, 32):
        np.testing.assert_allclose(logs[size], (logs[size // 2] + logs[size * 2]) / 2, rtol=1e-9)


def test_linear_weights_cost_their_curvature():
    field = random_field(80, 3)
    found = linear_distortion(field, seed=0)
    mean = field.frequencies @ field.linear / field.frequencies.sum()
    expected = 0.5 * field.curvature * float(field.frequencies @ (field.linear - mean) ** 2)
    assert found.errors[0, 0] == pytest.approx(expected, rel=1e-4)


def test_large_fields_are_measured_on_categories_that_made_no_codebook():
    field = random_field(13_000, 2)
    found = embedding_distortion(field, 2, seed=0)
    assert found.sizes[-1] == min(LARGEST_CODEBOOKS[2], 2048)
    assert found.errors[0, 0] == pytest.approx(cost_of_the_mean(field, 0, 1), rel=1e-3)
    # 1,024 codewords for one coordinate leave some millionth of the variance, on new points too.
    assert 0 < found.errors[0, found.sizes.index(1024)] < 1e-3 * found.errors[0, 0]


def test_equal_embeddings_cost_nothing():
    field = random_field(50, 2)
    field.embeddings[:] = 0.25
    assert embedding_distortion(field, 1, seed=0).errors.max() < 1e-6
