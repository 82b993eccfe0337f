"""Held-out prices measured by torch on a device, against numpy."""

import numpy as np
import pytest

from fmcompress.fm.schema import Schema
from fmcompress.methods.auto import device_codebooks, device_shifts
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.methods.auto.nested_codebooks import nested_codebooks
from fmcompress.progress import SILENT
from fmcompress.quantization.field_weights import all_weights
from fmcompress.quantization.sensitivity import from_moments
from tests import kinds, pooled
from tests.devices.offloaded import torch_at_work
from tests.models import random_checkpoint


def weights_of(checkpoint):
    return all_weights(checkpoint, from_moments(checkpoint, checkpoint.counts))


@pytest.mark.parametrize("dim", [6, 7])
def test_codebooks_are_as_good_as_those_of_numpy(dim, monkeypatch):
    checkpoint = random_checkpoint((900,), dim=dim, counts=True)
    (field,) = weights_of(checkpoint)
    members = np.arange(0, 900, 7)
    monkeypatch.setattr(device_codebooks, "_SCORES", 100_000)
    for subspaces in (1, 2, 4):
        expected = nested_codebooks(field, subspaces, members, "fm", seed=0)
        with torch_at_work():
            found, again = (nested_codebooks(field, subspaces, members, "fm", seed=0) for _ in range(2))
        assert found.distortion.sizes == expected.distortion.sizes
        np.testing.assert_allclose(found.distortion.errors, expected.distortion.errors, rtol=0.03)
        sizes = [found.distortion.sizes[-1]] * subspaces
        assert found.decoded(sizes).shape == (len(members), dim)
        np.testing.assert_array_equal(found.decoded(sizes), again.decoded(sizes))
        near = np.square(found.decoded(sizes) - field.embeddings[members]).sum()
        assert near <= 1.1 * np.square(expected.decoded(sizes) - field.embeddings[members]).sum()


@pytest.mark.parametrize("link", ["sigmoid", "identity"])
@pytest.mark.parametrize("of_kind", [kinds, pooled])
def test_prices_are_those_of_numpy(of_kind, link, monkeypatch):
    """With the same codebooks; fields are looked up once, several times, and as bags."""
    checkpoint = of_kind.checkpoint(link=link)
    weights = weights_of(checkpoint)
    splits = [[np.zeros(field.cardinality, np.uint8)] for field in weights]
    splits[0].append((np.arange(weights[0].cardinality) % 2).astype(np.uint8))
    batch = of_kind.batch(checkpoint, 300)
    prepared = prepare_held_out(weights, checkpoint, splits, batch, seed=0, progress=SILENT)
    expected = prepared.measured()
    monkeypatch.setattr(device_shifts, "_NUMBERS", 5000)
    with torch_at_work():
        found, again = (prepared.measured() for _ in range(2))
    checked = 0
    for own, second, other in zip(flat(found), flat(again), flat(expected), strict=True):
        for name in ("embeddings", "linear"):
            for one, twice, plain in zip(*(getattr(tier, name) for tier in (own, second, other)), strict=True):
                assert (one.codewords, one.metric) == (plain.codewords, plain.metric)
                assert one == twice
                assert one.error == pytest.approx(plain.error, rel=1e-3, abs=1e-6)
                assert one.standard_error == pytest.approx(plain.standard_error, rel=1e-3, abs=1e-6)
                checked += 1
    assert checked > 100


def flat(by_tier):
    return [tier for ways in by_tier for way in ways for tier in way]


def test_a_network_is_priced_on_the_device_too():
    from tests import networks

    checkpoint = networks.checkpoint("deepfm", Schema.of([("a", 30), ("b", 12)]))
    weights = weights_of(checkpoint)
    rng = np.random.default_rng(0)
    from fmcompress.data.batch import Batch

    batch = Batch(rng.integers(0, (30, 12), (200, 2)).astype(np.int32), rng.integers(0, 2, 200).astype(np.float32))
    splits = [[np.zeros(field.cardinality, np.uint8)] for field in weights]
    prepared = prepare_held_out(weights, checkpoint, splits, batch, seed=0, progress=SILENT)
    expected = flat(prepared.measured())
    with torch_at_work():
        found = flat(prepared.measured())
    for own, other in zip(found, expected, strict=True):
        errors = [[one.error for one in tier.embeddings] for tier in (own, other)]
        np.testing.assert_allclose(*errors, rtol=1e-3, atol=1e-6)
