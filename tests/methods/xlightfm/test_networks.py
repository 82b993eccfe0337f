"""The search through a network: each field has a layer of its own, and measurements ask for logits alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import fmcompress as fc
from fmcompress.data.click_model import draw_clicks, random_click_model, write_rows
from fmcompress.data.rows import open_rows
from fmcompress.data.shuffle import shuffled
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.methods.xlightfm.search import begin_search
from fmcompress.methods.xlightfm.search_space import lay_out
from fmcompress.methods.xlightfm.supernet import start_search
from fmcompress.quantization.measurements import Measurements
from tests import networks
from tests.models import origin

pytestmark = pytest.mark.slow

SPACE = fc.SpaceOptions(subspaces=2, candidates=(4, 8, 16), linear_codewords=4)
TUNING = fc.TuneOptions(batch_size=256, epochs=1, moving=fc.MovingOptions())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    clicks = random_click_model(networks.PLAIN, dim=4, seed=0)
    for seed, name in enumerate(("train", "valid")):
        write_rows(draw_clicks(clicks, 1000, seed=seed), networks.PLAIN, folder / f"{name}.parquet")
    return [folder / f"{name}.parquet" for name in ("train", "valid")]


@pytest.mark.parametrize("kind", networks.KINDS)
@pytest.mark.parametrize("recipe", ["sampled", "darts"])
def test_sizes_are_found_within_the_budget(files, kind, recipe):
    method = fc.XLightFM(SPACE, fc.SearchOptions(recipe, steps=6))
    checkpoint = networks.checkpoint(kind, networks.PLAIN, dim=4)
    made = {"train": files[0], "valid": files[1], "tuning": TUNING, "device": "cpu"}
    smallest = fc.quantize(checkpoint, 10_000, method=replace(method, space=replace(SPACE, candidates=(4,))), **made)
    budget = smallest.file_bytes + 100
    model = fc.quantize(checkpoint, budget, method=method, **made)
    assert smallest.file_bytes < model.file_bytes <= budget
    assert 0 < fc.evaluate(model, files[1]).auc < 1


@pytest.mark.parametrize("kind", networks.KINDS)
def test_logits_on_a_path_are_those_of_the_stored_model(files, kind):
    checkpoint = networks.checkpoint(kind, networks.PLAIN, dim=4)
    space = lay_out(checkpoint, SPACE, origin(budget_bytes=100_000))
    valid = open_rows(files[1], networks.PLAIN)
    begun = begin_search(
        start_search(Measurements(checkpoint), space, seed=0), valid, fc.SearchOptions(), TUNING, steps=10
    )
    batch = next(shuffled(valid, 300, seed=0))
    begun.step(batch)
    path = np.array([[0, 2], [1, 0], [1, 1]])
    begun.supernet.take(path)
    begun.supernet.module.eval()
    with torch.no_grad():
        found = begun.supernet.logits(batch).numpy()
    stored: QuantizedFM = begun.supernet.stored(begun.like, space, path)
    decoded = replace(
        checkpoint,
        bias=stored.bias,
        embeddings=np.concatenate([field.embeddings() for field in stored.fields]),
        linear=np.concatenate([field.linear() for field in stored.fields]),
        network=stored.network,
    )
    np.testing.assert_allclose(found, networks.logits(decoded, batch), rtol=1e-4, atol=1e-4)
