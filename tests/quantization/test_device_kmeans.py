"""k-means by torch, against that of faiss, and against plain loops."""

import sys

import numpy as np
import pytest
import torch

from fmcompress.devices.working import working_on
from fmcompress.quantization import device_kmeans, kmeans
from fmcompress.quantization.kmeans import nearest, train_centroids
from tests.devices.offloaded import torch_at_work

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(3000, 6)).astype(np.float32)
WEIGHTS = RNG.uniform(0.1, 5, 3000).astype(np.float32)


def objective(centroids):
    distances, _ = nearest(POINTS, centroids)
    return distances @ WEIGHTS


@pytest.mark.parametrize("scale", [1, 1e-20, 1e18])
def test_the_nearest_centroids_are_those_of_faiss(scale):
    points, centroids = POINTS * np.float32(scale), POINTS[:50] * np.float32(scale)
    expected = nearest(points, centroids)
    with torch_at_work():
        distances, numbers = nearest(points, centroids)
    np.testing.assert_array_equal(numbers, expected[1])
    np.testing.assert_allclose(distances, expected[0], rtol=1e-4, atol=1e-5 * scale**2)


def test_blocks_of_points_and_of_scores_make_no_difference(monkeypatch):
    expected = device_kmeans.nearest(POINTS, POINTS[:50], device="cpu")
    monkeypatch.setattr(device_kmeans, "_SCORES", 7 * 50)
    monkeypatch.setattr(device_kmeans, "_POINT_NUMBERS", 100 * 6)
    found = device_kmeans.nearest(POINTS, POINTS[:50], device="cpu")
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 16, 200])
def test_centroids_are_as_good_as_those_of_faiss(k):
    settings = {"seed": 3, "iterations": 10}
    expected = train_centroids(POINTS, WEIGHTS, k, **settings)
    with torch_at_work():
        found, again = (train_centroids(POINTS, WEIGHTS, k, **settings) for _ in range(2))
    assert found.shape == (k, 6)
    assert found.dtype == np.float32
    assert objective(found) == pytest.approx(objective(expected), rel=0.01)
    np.testing.assert_array_equal(found, again)


def test_an_iteration_moves_each_centroid_to_the_weighted_mean_of_its_points():
    start = POINTS[[3, 17, 40, 55]]
    with torch_at_work():
        found = train_centroids(POINTS, WEIGHTS, 4, seed=0, iterations=1, start=start)
    own = ((POINTS[:, None] - start[None]) ** 2).sum(axis=2).argmin(axis=1)
    expected = [np.average(POINTS[own == k], axis=0, weights=WEIGHTS[own == k]) for k in range(4)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_an_empty_cluster_takes_half_of_the_heaviest():
    points = np.array([[0.0], [1.0], [2.0], [100.0]], dtype=np.float32)
    start = np.array([[1.0], [100.0], [5000.0]], dtype=np.float32)
    with torch_at_work():
        found = train_centroids(points, np.ones(4, np.float32), 3, seed=0, iterations=5, start=start)
    assert sorted(found[:, 0].tolist()) == pytest.approx([0.5, 2.0, 100.0], abs=0.51)
    assert len(set(found[:, 0].tolist())) == 3


@pytest.mark.parametrize("weights", [np.zeros(60, np.float32), np.ones(60, np.float32)])
def test_points_that_are_all_the_same_and_weights_of_nothing_do_no_harm(weights):
    points = np.ones((60, 2), dtype=np.float32)
    with torch_at_work():
        found = train_centroids(points, weights, 4, seed=0, iterations=3)
    np.testing.assert_allclose(found, 1, rtol=0.01)


def test_small_problems_are_left_to_the_cpu(monkeypatch):
    monkeypatch.setattr(device_kmeans, "nearest", lambda *_, **__: pytest.fail("this is small"))
    with working_on("cuda"):
        nearest(POINTS[:10], POINTS[:2])


def test_faiss_without_gpus_is_told_once_it_matters(monkeypatch):
    assert kmeans.lacks_gpu() is None
    with torch_at_work():
        assert kmeans.lacks_gpu() is None
    with working_on("cuda"):
        assert "faiss is not built for GPUs" in kmeans.lacks_gpu()
        monkeypatch.setattr(device_kmeans, "faiss_has_gpu", lambda: True)
        assert kmeans.lacks_gpu() is None


def test_faiss_for_gpus_is_asked_for_the_nearest(monkeypatch):
    """A stand-in for faiss-gpu: what is asked of it, and that its answer is taken."""

    class Resources:
        def setTempMemory(self, size):  # as faiss calls it
            self.size = size

    def knn_gpu(resources, queries, vectors, k):
        assert resources.size > 0
        assert queries.is_contiguous()
        assert vectors.is_contiguous()
        distances = torch.cdist(queries, vectors).square()
        return distances.topk(k, largest=False)

    import faiss

    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
    monkeypatch.setitem(sys.modules, "faiss.contrib.torch_utils", object())
    device_kmeans._faiss_resources.cache_clear()
    assert device_kmeans.faiss_has_gpu()
    points, centroids = torch.from_numpy(POINTS), torch.from_numpy(POINTS[:20])
    found = device_kmeans._nearest_by_faiss(points, centroids)
    device_kmeans._faiss_resources.cache_clear()
    np.testing.assert_array_equal(found, device_kmeans._nearest(points, centroids))
