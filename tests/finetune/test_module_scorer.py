"""Compressed models scored by torch on a device, against the formula and the scorers of the CPU."""

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.errors import UsageError
from fmcompress.evaluation.predictors import predictor
from fmcompress.finetune.module_scorer import ModuleScorer, predictor_at_work
from fmcompress.finetune.scoring_device import scorer_on
from tests import networks
from tests.devices.offloaded import torch_at_work
from tests.mixed import packed_mixed, random_bags, random_rows, whole_bags

CLOSE = {"rtol": 2e-4, "atol": 1e-5}


@pytest.mark.parametrize("link", ["sigmoid", "probit", "identity", "clip:1:5"])
def test_predictions_are_those_of_the_cpu(link):
    poolings = {"f1": "mean", "s0": "each"}
    model = packed_mixed(
        4,
        "12 raw raw",
        "20 4x2 3 | 8 1x4 raw",
        "9 shared raw",
        shared=(1, 0),
        numeric=(False, True),
        link=link,
        poolings=poolings,
    )
    ids, values = random_rows(model.schema, 200, seed=3)
    bags = whole_bags(model.schema, random_bags(model.schema, ids))
    ids, values = np.where(ids == model.schema.pads, -1, ids).astype(np.int32), np.nan_to_num(values)
    expected = predictor(model).predict(ids, values, bags=bags)
    np.testing.assert_allclose(ModuleScorer(model, "cpu").predict(ids, values, bags=bags), expected, **CLOSE)


def test_chunks_make_no_difference_and_no_rows_are_no_predictions(monkeypatch):
    model = packed_mixed(4, "12 raw raw", "20 4x2 raw")
    ids, values = random_rows(model.schema, 50)
    scorer = ModuleScorer(model, "cpu")
    expected = scorer.predict(ids, values)
    monkeypatch.setattr("fmcompress.finetune.module_scorer._CHUNK_ROWS", 7)
    np.testing.assert_allclose(scorer.predict(ids, values), expected, rtol=1e-6)
    assert scorer.predict(ids[:0], values[:0]).shape == (0,)


@pytest.mark.parametrize("kind", networks.KINDS)
def test_networks_are_scored_too(kind):
    checkpoint = networks.checkpoint(kind, networks.PLAIN)
    model = fc.quantize(checkpoint, 30_000, device="cpu")
    ids = np.random.default_rng(0).integers(0, checkpoint.schema.cardinalities, (40, 3)).astype(np.int32)
    found = ModuleScorer(model, "cpu").predict(ids)
    np.testing.assert_allclose(found, predictor(model).predict(ids), rtol=1e-3, atol=1e-4)


def test_the_native_core_scores_where_no_device_is_at_work():
    model = packed_mixed(4, "12 raw raw", "20 4x2 raw")
    assert not isinstance(predictor_at_work(model), ModuleScorer)
    with scorer_on("cpu", model) as scorer:
        assert scorer is None
    with torch_at_work():
        assert isinstance(predictor_at_work(model), ModuleScorer)


def test_evaluation_on_a_device_gives_the_same_scores(tmp_path, monkeypatch):
    clicks = random_click_model(networks.PLAIN, dim=4, seed=0)
    checkpoint = fc.FMCheckpoint(networks.PLAIN, clicks.bias, clicks.linear, clicks.embeddings)
    write_rows(draw_clicks(clicks, 500, seed=1), networks.PLAIN, tmp_path / "rows.parquet")
    model = fc.quantize(checkpoint, 4000, device="cpu")
    expected = [fc.evaluate(one, tmp_path / "rows.parquet").logloss for one in (checkpoint, model)]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="torch finds no CUDA GPU"):
        fc.evaluate(model, tmp_path / "rows.parquet", device="cuda")
    monkeypatch.setattr("fmcompress.finetune.scoring_device.resolve_device", lambda device: "cpu:0")
    found = [fc.evaluate(one, tmp_path / "rows.parquet", device="cuda").logloss for one in (checkpoint, model)]
    assert found == pytest.approx(expected, rel=1e-5)
    assert found != expected
