"""Heavy work on a GPU: what the CPU gives within tolerance, and the same bytes each time."""

import numpy as np
import pytest
import torch

import fmcompress as fc
from fmcompress.data.counting import DeviceCounts, HostCounts
from fmcompress.data.summary import summarize
from fmcompress.devices.working import working_on
from fmcompress.evaluation.predictors import predictor
from fmcompress.finetune.module_scorer import ModuleScorer
from fmcompress.fm.device_scorer import DeviceScorer
from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.progress import SILENT
from fmcompress.quantization import device_kmeans, kmeans
from fmcompress.quantization.device_moments import DeviceMoments
from fmcompress.quantization.kmeans import nearest, train_centroids
from fmcompress.quantization.moments import HostMoments
from tests import kinds, pooled
from tests.devices import test_quantize
from tests.methods.auto import test_device_prices, test_device_rows
from tests.methods.auto.test_device_rows import reassign

pytestmark = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")]

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(40_000, 8)).astype(np.float32)
WEIGHTS = RNG.uniform(0.1, 5, len(POINTS)).astype(np.float32)
KINDS = pytest.mark.parametrize("of_kind", [kinds, pooled])

rows = test_quantize.rows


@pytest.fixture(params=["faiss", "torch"])
def engine(request, monkeypatch):
    """Let the nearest centroids be found by one or the other."""
    if request.param == "torch":
        monkeypatch.setattr(device_kmeans, "faiss_has_gpu", lambda: False)
    elif not device_kmeans.faiss_has_gpu():
        pytest.skip("faiss is not built for GPUs")


def test_kmeans_is_as_good_as_that_of_faiss_on_the_cpu(engine):
    settings = {"seed": 3, "iterations": 8}
    expected = train_centroids(POINTS, WEIGHTS, 256, **settings)
    numbers = nearest(POINTS, expected)[1]
    with working_on("cuda"):
        found, again = (train_centroids(POINTS, WEIGHTS, 256, **settings) for _ in range(2))
        on_gpu = nearest(POINTS, expected)[1]
    np.testing.assert_array_equal(found, again)
    assert (on_gpu == numbers).mean() > 0.9999
    objectives = [nearest(POINTS, centroids)[0] @ WEIGHTS for centroids in (found, expected)]
    assert objectives[0] == pytest.approx(objectives[1], rel=0.01)


@KINDS
def test_counts_costs_and_scores_are_those_of_the_cpu(of_kind):
    checkpoint = of_kind.checkpoint()
    batches = [of_kind.batch(checkpoint, 400, seed=seed) for seed in (1, 2)]
    expected = summarize(checkpoint.schema, batches)
    with working_on("cuda"):
        np.testing.assert_array_equal(summarize(checkpoint.schema, batches).counts, expected.counts)
    assert isinstance(HostCounts(checkpoint.schema).total(), type(DeviceCounts(checkpoint.schema, "cuda").total()))
    host, device, again = (HostMoments(checkpoint), *(DeviceMoments(checkpoint, "cuda") for _ in range(2)))
    for batch in batches:
        for moments in (host, device, again):
            moments.add(batch)
        given = batch.ids, batch.values
        found = DeviceScorer(checkpoint, "cuda").predict(*given, bags=batch.bags)
        np.testing.assert_allclose(found, FMScorer(checkpoint).predict(*given, bags=batch.bags), rtol=1e-3, atol=1e-5)
    own, other, twice = (moments.sums().hessians for moments in (device, host, again))
    np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-4 * np.abs(other).max())
    np.testing.assert_array_equal(own, twice)


@KINDS
def test_codes_are_assigned_anew_as_by_the_cpu(of_kind):
    model, batch, targets, given = test_device_rows.job(of_kind)
    expected = reassign(model, batch, targets, **given)
    with working_on("cuda"):
        found, again = (reassign(model, batch, targets, **given) for _ in range(2))
    for own, other, second in zip(found.fields, expected.fields, again.fields, strict=True):
        np.testing.assert_array_equal(own.codes, second.codes)
        assert own.codes.size == 0 or (own.codes == other.codes).mean() > 0.9


@KINDS
def test_held_out_prices_are_those_of_the_cpu(of_kind):
    checkpoint = of_kind.checkpoint()
    weights, batch = test_device_prices.weights_of(checkpoint), of_kind.batch(checkpoint, 300)
    splits = [[np.zeros(field.cardinality, np.uint8)] for field in weights]
    prepared = prepare_held_out(weights, checkpoint, splits, batch, seed=0, progress=SILENT)
    expected = test_device_prices.flat(prepared.measured())
    with working_on("cuda"):
        found, again = (test_device_prices.flat(prepared.measured()) for _ in range(2))
    assert found == again
    for own, other in zip(found, expected, strict=True):
        errors = [[one.error for one in tier.embeddings] for tier in (own, other)]
        np.testing.assert_allclose(*errors, rtol=1e-3, atol=1e-6)


def test_a_whole_job_gives_the_same_bytes_each_time_and_is_as_good(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(kmeans, "_LEAST_PRODUCTS", 0)
    settings = {"budget": 2600, "tuning": test_quantize.TUNING, **rows}
    expected = fc.evaluate(fc.quantize(test_quantize.FM, device="cpu", **settings), rows["valid"])
    for name in "ab":
        fc.quantize(test_quantize.FM, device="cuda", **settings).save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    model = fc.load(tmp_path / "a")
    assert fc.evaluate(model, rows["valid"]).logloss == pytest.approx(expected.logloss, abs=0.005)
    on_gpu = fc.evaluate(model, rows["valid"], device="cuda")
    assert on_gpu.logloss == pytest.approx(fc.evaluate(model, rows["valid"]).logloss, abs=1e-5)
    ids = RNG.integers(0, test_quantize.SCHEMA.cardinalities, (100, 3)).astype(np.int32)
    np.testing.assert_allclose(ModuleScorer(model, "cuda").predict(ids), predictor(model).predict(ids), atol=1e-4)
