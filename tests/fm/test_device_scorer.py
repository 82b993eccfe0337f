"""Scoring by torch on a device, against numpy and the formula."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fmcompress.errors import DataError
from fmcompress.fm import device_links
from fmcompress.fm.device_scorer import DeviceScorer, HostRows
from fmcompress.fm.links import parse_link
from fmcompress.fm.network_scorer import NetworkScorer
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.scorers import scorer_of
from tests import kinds, networks, pooled
from tests.devices.offloaded import torch_at_work

MODELS = {"all kinds": (kinds.checkpoint("clip:-1:1"), kinds), "bags": (pooled.checkpoint(), pooled)}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("name", MODELS)
def test_rows_are_scored_as_by_numpy(name):
    checkpoint, of_kind = MODELS[name]
    batch = of_kind.batch(checkpoint, 300)
    plain, device = FMScorer(checkpoint), DeviceScorer(checkpoint, "cpu")
    given = (batch.ids, batch.values, batch.bags)
    np.testing.assert_allclose(
        device.predict(*given[:2], bags=batch.bags), plain.predict(*given[:2], bags=batch.bags), **CLOSE
    )
    expected, found = plain.score(*given), device.score(*given)
    np.testing.assert_allclose(found.logits, expected.logits, **CLOSE)
    np.testing.assert_allclose(found.sums, expected.sums, **CLOSE)
    for column, field in enumerate(checkpoint.schema.id_names):
        np.testing.assert_allclose(found.slopes(column), expected.slopes(column), **CLOSE)
        if field in batch.bags:
            values = column, batch.bags[field], checkpoint.schema.poolings[field]
            np.testing.assert_allclose(found.value_slopes(*values), expected.value_slopes(*values), **CLOSE)


def test_each_row_may_be_asked_for_another_field():
    checkpoint = kinds.checkpoint()
    batch = kinds.batch(checkpoint, 50)
    columns = np.arange(50) % len(checkpoint.schema.id_names)
    found, expected = (
        scorer.score(batch.ids, batch.values).slopes(columns)
        for scorer in (DeviceScorer(checkpoint, "cpu"), FMScorer(checkpoint))
    )
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_changed_weights_are_taken_note_of():
    checkpoint = kinds.checkpoint()
    batch, rows = kinds.batch(checkpoint, 100), np.array([3, 50, 7])
    own = replace(checkpoint, embeddings=checkpoint.embeddings.copy(), linear=checkpoint.linear.copy())
    scorer = DeviceScorer(own, "cpu")
    own.embeddings[rows] *= 2
    scorer.refresh(rows, own.linear[rows] + 1)
    changed = replace(own, linear=own.linear.copy())
    changed.linear[rows] = checkpoint.linear[rows] + 1
    found = scorer.predict(batch.ids, batch.values)
    np.testing.assert_allclose(found, FMScorer(changed).predict(batch.ids, batch.values), **CLOSE)


def test_numeric_fields_want_values():
    with pytest.raises(DataError, match="values of 2 numeric fields are missing"):
        DeviceScorer(kinds.checkpoint(), "cpu").predict(kinds.batch(kinds.checkpoint(), 3).ids)


def test_the_device_at_work_scores_checkpoints_without_a_network():
    assert isinstance(scorer_of(kinds.checkpoint()), FMScorer)
    with torch_at_work():
        assert isinstance(scorer_of(kinds.checkpoint()), DeviceScorer)
        assert isinstance(scorer_of(networks.checkpoint("nfm")), NetworkScorer)
        batch = kinds.batch(kinds.checkpoint(), 5)
        assert isinstance(scorer_of(kinds.checkpoint()).score(batch.ids, batch.values), HostRows)


@pytest.mark.parametrize("name", ["sigmoid", "probit", "identity", "clip:-1:2"])
def test_links_are_those_of_numpy(name):
    link = parse_link(name)
    logits = np.concatenate([np.linspace(-9, 9, 181), [-1e6, -40.0, 40.0, 1e6]])
    targets = np.random.default_rng(0).random(len(logits))
    z, t = torch.from_numpy(logits), torch.from_numpy(targets)
    np.testing.assert_allclose(device_links.slopes(link, z, t), link.slopes(logits, targets), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(device_links.curvatures(link, z), link.curvatures(logits), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(device_links.losses(link, z, t), link.losses(logits, targets), rtol=1e-9, atol=1e-12)
