import numpy as np
import pytest

from fmcompress.quantization import kmeans
from fmcompress.quantization.kmeans import drawn_by_weight, nearest
from fmcompress.quantization.lloyd import cloud_of, iterated, nearest_of_many


def points_of(dim, seed=0, n=700):
    rng = np.random.default_rng(seed)
    return rng.normal(3, 1, (n, dim)).astype(np.float32), rng.random(n).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 2, 5, 32])
@pytest.mark.parametrize("k", [1, 2, 37])
def test_codes_are_the_nearest_centroids(dim, k):
    points, weights = points_of(dim)
    centroids = points_of(dim, seed=1)[0][:k]
    codes = cloud_of(points, weights).codes(centroids)
    chosen = ((points - centroids[codes]).astype(np.float64) ** 2).sum(axis=1)
    assert np.allclose(chosen, nearest(points, centroids)[0], atol=1e-4)


@pytest.mark.parametrize("dim", [1, 3])
def test_centroids_move_to_the_middle_of_their_points(dim):
    points, weights = points_of(dim)
    cloud, start = cloud_of(points, weights), points[:16]
    codes, moved = cloud.codes(start), cloud.moved(start)
    expected = np.array([np.average(points[codes == k], axis=0, weights=weights[codes == k]) for k in range(16)])
    assert np.allclose(np.sort(moved, axis=0), np.sort(expected, axis=0), atol=1e-5)


@pytest.mark.parametrize("dim", [1, 2])
def test_iterations_lower_the_weighted_error_and_far_centroids_stay(dim):
    points, weights = points_of(dim)
    cloud = cloud_of(points, weights)
    far = np.full((1, dim), 1e4, dtype=np.float32)
    start = np.concatenate([points[:8], far])
    errors = [nearest(points, iterated(cloud, start, rounds))[0] @ weights for rounds in range(4)]
    assert errors == sorted(errors, reverse=True)
    assert iterated(cloud, start, 3).max() == pytest.approx(1e4)


def test_points_that_are_all_the_same_have_one_codeword():
    for dim in (1, 4):
        points = np.full((50, dim), 2.5, dtype=np.float32)
        cloud = cloud_of(points, np.ones(50, dtype=np.float32))
        assert np.allclose(iterated(cloud, points[:4], 3), 2.5)


def test_draws_favour_heavy_points():
    weights = np.array([1e-6, 1.0, 1e-6, 1.0], dtype=np.float32)
    drawn = drawn_by_weight(weights, seed=3)
    assert sorted(drawn.tolist()) == [0, 1, 2, 3]
    assert sorted(drawn[:2].tolist()) == [1, 3]


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_nearest_of_many_are_those_of_faiss(dim):
    points, _ = points_of(dim, n=20_000)
    centroids = points_of(dim, seed=1)[0][:64]
    squares, numbers = nearest_of_many(points, centroids)
    wanted, _ = nearest(points, centroids)
    assert np.allclose(squares, wanted, atol=1e-4)
    assert np.allclose(((points - centroids[numbers]).astype(np.float64) ** 2).sum(axis=1), squares, atol=1e-5)


def test_trained_centroids_without_points_take_half_of_the_heaviest_ones():
    points, weights = points_of(2)
    start = np.concatenate([points[:8], np.full((2, 2), 1e4, dtype=np.float32)])
    found = cloud_of(points, weights).trained(start, 5)
    assert found.max() < 100
    assert nearest(points, found)[0] @ weights < nearest(points, start)[0] @ weights


@pytest.mark.parametrize("dim", [1, 2])
def test_larger_problems_are_solved_as_well_by_products(monkeypatch, dim):
    points, weights = points_of(dim, n=5000)
    errors = []
    for least in (2**40, 0):
        monkeypatch.setattr(kmeans, "_SOME_DISTANCES", least)
        centroids = kmeans.train_centroids(points, weights, 32, seed=1, iterations=10)
        errors.append(kmeans.nearest(points, centroids)[0] @ weights)
    assert errors[1] <= 1.02 * errors[0]


@pytest.mark.parametrize("dim", [1, 3])
def test_no_points_have_no_codes(dim):
    points, weights = points_of(dim)
    assert cloud_of(points[:0], weights[:0]).codes(points[:4]).shape == (0,)
