"""Weighted k-means, against plain loops."""

import numpy as np
import pytest

from fmcompress.quantization.kmeans import nearest, train_centroids

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(60, 3)).astype(np.float32)
WEIGHTS = RNG.uniform(0.1, 5, 60).astype(np.float32)


def test_the_nearest_centroid_of_each_point():
    centroids = POINTS[:7] + np.float32(0.01)
    distances, numbers = nearest(POINTS, centroids)
    plain = ((POINTS[:, None] - centroids[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(numbers, plain.argmin(axis=1))
    np.testing.assert_allclose(distances, plain.min(axis=1), rtol=1e-4, atol=1e-5)
    assert (distances >= 0).all()


def test_an_iteration_moves_each_centroid_to_the_weighted_mean_of_its_points():
    start = POINTS[[3, 17, 40, 55]]
    found = train_centroids(POINTS, WEIGHTS, 4, seed=0, iterations=1, start=start)
    own = ((POINTS[:, None] - start[None]) ** 2).sum(axis=2).argmin(axis=1)
    expected = [np.average(POINTS[own == k], axis=0, weights=WEIGHTS[own == k]) for k in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_missing_centroids_are_drawn_from_the_points_by_weight():
    weights = np.where(np.arange(60) < 5, 1.0, 0.0).astype(np.float32)
    found = train_centroids(POINTS, weights, 5, seed=1, iterations=0, start=POINTS[:0])
    np.testing.assert_allclose(np.sort(found, axis=0), np.sort(POINTS[:5], axis=0), rtol=1e-6)


@pytest.mark.parametrize("k", [1, 8, 60])
def test_the_same_seed_gives_the_same_centroids(k):
    found = [train_centroids(POINTS, WEIGHTS, k, seed=3, iterations=5) for _ in range(2)]
    assert found[0].shape == (k, 3)
    np.testing.assert_array_equal(*found)
