"""Shared tables, numeric fields and links in what errors cost and in prices on held-out rows."""

from dataclasses import replace

import numpy as np
import pytest

from fmcompress.fm.links import parse_link
from fmcompress.fm.scorer import FMScorer
from fmcompress.methods.auto.held_out_loss import prepare_held_out
from fmcompress.methods.auto.method import rotated
from fmcompress.progress import SILENT
from fmcompress.quantization import sensitivity
from fmcompress.quantization.field_weights import all_weights
from tests import kinds

LINKS = ["sigmoid", "probit", "identity", "clip:-1:1"]


class Rows:
    """One batch in place of a file."""

    def __init__(self, schema, batch):
        self.schema, self.rows, self._batch = schema, len(batch), batch

    def batches(self, *, order=None):
        yield self._batch


def loss(ckpt, batch):
    logits = FMScorer(ckpt).logits_and_sums(batch.ids, batch.values)[0].astype(np.float64)
    return float(parse_link(ckpt.link).losses(logits, batch.labels.astype(np.float64)).mean())


def shifted(ckpt, table, by):
    """Return the checkpoint with all embeddings of a table shifted, but for PAD."""
    own = np.arange(ckpt.schema.categories)[ckpt.schema.rows(table)]
    own = own[np.arange(len(own)) != ckpt.schema.fields[table].pad]
    embeddings = ckpt.embeddings.copy()
    embeddings[own] += by.astype(np.float32)
    return replace(ckpt, embeddings=embeddings)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("table", [0, 2])
def test_the_cost_of_an_error_is_the_curvature_of_the_expected_loss(link, table):
    """Labels are the predictions themselves, so that the first derivative is zero and the second one is exact."""
    ckpt = replace(kinds.checkpoint(link), counts=None)
    batch = kinds.batch(ckpt, 4000, missing=0.0)
    labels = FMScorer(replace(ckpt, link="identity" if "clip" in link else link)).predict(batch.ids, batch.values)
    batch = replace(batch, labels=labels)
    found = sensitivity.from_rows(ckpt, Rows(ckpt.schema, batch), np.ones(ckpt.schema.categories), seed=0)
    by = 1e-2 * np.random.default_rng(0).normal(size=ckpt.dim)
    rise = loss(shifted(ckpt, table, by), batch) - loss(ckpt, batch)
    present = (batch.ids[:, table] >= 0).mean()
    assert rise == pytest.approx(0.5 * present * by @ found.hessians[table] @ by, rel=0.06)


def test_a_table_that_fields_share_is_priced_for_all_of_them():
    ckpt = kinds.checkpoint()
    frequencies = sensitivity.shares(ckpt.schema, ckpt.counts)
    sums = [own.sum() for own in ckpt.schema.split(frequencies)]
    np.testing.assert_allclose(sums, [1, 3, 1])


@pytest.mark.parametrize("link", LINKS)
def test_a_rotation_leaves_predictions_as_they_are(link):
    ckpt = kinds.checkpoint(link)
    batch = kinds.batch(ckpt, 200)
    found = FMScorer(rotated(ckpt)).predict(batch.ids, batch.values)
    np.testing.assert_allclose(found, kinds.formula(ckpt, batch.ids, batch.values), atol=1e-5)


@pytest.mark.parametrize("link", LINKS)
def test_prices_are_what_options_do_to_the_loss_of_the_link(link):
    ckpt = kinds.checkpoint(link)
    batch = kinds.batch(ckpt, 3000)
    weights = all_weights(ckpt, sensitivity.from_moments(ckpt, ckpt.counts))
    cut = [[np.zeros(field.cardinality, np.uint8)] for field in ckpt.schema.fields]
    prices = prepare_held_out(weights, ckpt, cut, batch, seed=0, progress=SILENT)
    before = loss(ckpt, batch)
    assert prices.loss() == pytest.approx(before, abs=1e-6)
    for table, ((candidates,),) in enumerate(prices.measured()):
        codebooks, seen = prices.tiers[table][0][0], prices.seen[table].categories
        for candidate in candidates.embeddings[1::4]:
            embeddings = ckpt.embeddings.copy()
            embeddings[ckpt.schema.offsets[table] + seen] = codebooks.decoded(candidate)
            change = loss(replace(ckpt, embeddings=embeddings, schema=ckpt.schema.without_pads()), batch) - before
            assert candidate.error == pytest.approx(change, abs=1e-6)
