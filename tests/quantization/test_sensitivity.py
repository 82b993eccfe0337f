"""What errors cost: against expectations that are summed up row by row."""

import dataclasses
import itertools

import numpy as np
import pytest

from fmcompress.data.batch import Batch
from fmcompress.data.click_model import write_rows
from fmcompress.data.rows import count_categories, open_rows
from fmcompress.fm.links import parse_link
from fmcompress.fm.scorer import FMScorer
from fmcompress.quantization.sensitivity import from_moments, from_rows, shares
from tests import kinds, pooled
from tests.data.rows import RowsInMemory
from tests.models import random_checkpoint, random_ids, sigmoid

SIZES = (3, 4, 1, 5)
RIDGE = 1e-3


def regular(hessian):
    return hessian + RIDGE * np.trace(hessian) / len(hessian) * np.eye(len(hessian))


def logit_and_others(checkpoint, row):
    """Return the logit of a row of ids, and S − v_i of each field; missing fields contribute nothing."""
    numbers = [int(offset) + i for offset, i in zip(checkpoint.schema.offsets, row, strict=True) if i >= 0]
    vectors = {number: checkpoint.embeddings[number].astype(np.float64) for number in numbers}
    total = sum(vectors.values(), np.zeros(checkpoint.dim))
    pairs = sum(a @ b for a, b in itertools.combinations(vectors.values(), 2))
    logit = checkpoint.bias + sum(float(checkpoint.linear[number]) for number in numbers) + pairs
    offsets = checkpoint.schema.offsets.tolist()
    return logit, [total - vectors[offset + i] if i >= 0 else None for offset, i in zip(offsets, row, strict=True)]


@pytest.mark.parametrize("counts", [True, False])
def test_moments_are_those_of_all_rows_that_independent_fields_can_form(counts):
    checkpoint = random_checkpoint(SIZES, dim=3, counts=counts)
    found = from_moments(checkpoint, checkpoint.counts)
    shares = []
    for field in range(len(SIZES)):
        seen = np.ones(SIZES[field]) + (checkpoint.counts[checkpoint.schema.rows(field)] if counts else 0)
        shares.append(seen / seen.sum())
    np.testing.assert_allclose(found.frequencies, np.concatenate(shares))

    mean_logit = 0.0
    products = np.zeros((len(SIZES), 3, 3))
    for row in itertools.product(*map(range, SIZES)):
        share = np.prod([shares[field][i] for field, i in enumerate(row)])
        logit, others = logit_and_others(checkpoint, row)
        mean_logit += share * logit
        products += share * np.array([np.outer(other, other) for other in others])
    p = sigmoid(mean_logit)
    np.testing.assert_allclose(found.curvatures, p * (1 - p))
    for hessian, product in zip(found.hessians, products, strict=True):
        np.testing.assert_allclose(hessian, regular(p * (1 - p) * product), rtol=1e-9)


@pytest.fixture
def rows_of(tmp_path):
    def rows_of(checkpoint, ids):
        write_rows(Batch(ids, np.zeros(len(ids), np.float32)), checkpoint.schema, tmp_path / "rows.parquet")
        return open_rows(tmp_path / "rows.parquet", checkpoint.schema)

    return rows_of


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_rows_are_averaged_as_they_are(rows_of, missing):
    checkpoint = random_checkpoint(SIZES, dim=3)
    ids = random_ids(checkpoint.schema, 200, missing=missing)
    rows = rows_of(checkpoint, ids)
    counts = count_categories(rows)
    found = from_rows(checkpoint, rows, counts, seed=0)
    for field in range(len(SIZES)):
        hessian, curvatures = np.zeros((3, 3)), []
        for row in ids[ids[:, field] >= 0]:
            logit, others = logit_and_others(checkpoint, row)
            p = sigmoid(logit)
            curvatures.append(p * (1 - p))
            hessian += p * (1 - p) * np.outer(others[field], others[field])
        np.testing.assert_allclose(found.hessians[field], regular(hessian / len(curvatures)), rtol=1e-4, atol=1e-7)
        assert found.curvatures[field] == pytest.approx(np.mean(curvatures), rel=1e-5)
        seen = counts[checkpoint.schema.rows(field)] + 1
        np.testing.assert_allclose(found.frequencies[checkpoint.schema.rows(field)], seen / seen.sum())


def test_a_field_that_is_always_missing_costs_next_to_nothing(rows_of):
    checkpoint = random_checkpoint(SIZES, dim=3)
    ids = random_ids(checkpoint.schema, 50, missing=0)
    ids[:, 1] = -1
    rows = rows_of(checkpoint, ids)
    found = from_rows(checkpoint, rows, count_categories(rows), seed=0)
    assert np.abs(found.hessians[1]).max() < 1e-30
    assert found.curvatures[1] == 0
    assert np.linalg.eigvalsh(found.hessians).min() > 0


@pytest.mark.parametrize("change", ["zero embeddings", "huge logits", "one field"])
def test_hessians_can_be_inverted_whatever_the_model(change):
    checkpoint = random_checkpoint(SIZES[:1] if change == "one field" else SIZES, dim=3)
    if change == "zero embeddings":
        checkpoint = dataclasses.replace(checkpoint, embeddings=np.zeros_like(checkpoint.embeddings))
    if change == "huge logits":
        checkpoint = dataclasses.replace(checkpoint, bias=1e4)
    found = from_moments(checkpoint, None)
    assert np.linalg.eigvalsh(found.hessians).min() > 0
    for field in range(len(checkpoint.schema)):
        assert found.frequencies[checkpoint.schema.rows(field)].sum() == pytest.approx(1)


class Rows(RowsInMemory):
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
    return dataclasses.replace(ckpt, embeddings=embeddings)


@pytest.mark.parametrize("link", kinds.LINKS)
@pytest.mark.parametrize("table", [0, 2])
def test_the_cost_of_an_error_is_the_curvature_of_the_expected_loss(link, table):
    """Labels are the predictions themselves, so that the first derivative is zero and the second one is exact."""
    ckpt = dataclasses.replace(kinds.checkpoint(link), counts=None)
    batch = kinds.batch(ckpt, 4000, missing=0.0)
    labels = FMScorer(dataclasses.replace(ckpt, link="identity" if "clip" in link else link)).predict(
        batch.ids, batch.values
    )
    batch = dataclasses.replace(batch, labels=labels)
    found = from_rows(ckpt, Rows(ckpt.schema, batch), np.ones(ckpt.schema.categories), seed=0)
    by = 1e-2 * np.random.default_rng(0).normal(size=ckpt.dim)
    rise = loss(shifted(ckpt, table, by), batch) - loss(ckpt, batch)
    present = (batch.ids[:, table] >= 0).mean()
    assert rise == pytest.approx(0.5 * present * by @ found.hessians[table] @ by, rel=0.06)


def test_a_table_that_fields_share_is_priced_for_all_of_them():
    ckpt = kinds.checkpoint()
    frequencies = shares(ckpt.schema, ckpt.counts)
    sums = [own.sum() for own in ckpt.schema.split(frequencies)]
    np.testing.assert_allclose(sums, [1, 3, 1])


def test_several_values_in_a_row_are_priced_one_by_one():
    """H of a table is the mean over its values of c u u', with u what the logit changes by with each of them."""
    ckpt = pooled.checkpoint()
    batch = pooled.batch(ckpt, 300)
    counts = np.zeros(ckpt.schema.categories, np.int64)
    found = from_rows(ckpt, Rows(ckpt.schema, batch), counts, seed=0)
    scorer, link = FMScorer(ckpt), parse_link(ckpt.link)
    logits, sums = scorer.logits_and_sums(batch.ids, batch.values, batch.bags)
    curvatures = link.curvatures(logits.astype(np.float64))
    bag = batch.bags["tags"]  # mean of the embeddings, sum of the linear weights, with weights of its own
    table = list(ckpt.schema.id_names).index("tags")
    hessian, curvature = np.zeros((ckpt.dim, ckpt.dim)), 0.0
    for row in range(len(batch)):
        values = slice(bag.starts[row], bag.starts[row + 1])
        vectors = ckpt.embeddings[ckpt.schema.rows(table)][bag.ids[values]]
        weights = bag.weights[values].astype(np.float64)
        own = (weights[:, None] * vectors).mean(axis=0) if len(weights) else 0
        for weight in weights:
            u = weight / len(weights) * (sums[row] - own)
            hessian += curvatures[row] * np.outer(u, u)
            curvature += curvatures[row] * weight**2
    regular_hessian = hessian / len(bag.ids)
    np.testing.assert_allclose(found.hessians[table], regular_hessian, rtol=1e-2, atol=2e-3 * regular_hessian.max())
    assert found.curvatures[table] == pytest.approx(curvature / len(bag.ids), rel=1e-5)
    frequencies = ckpt.schema.split(found.frequencies)
    assert frequencies[table].sum() == pytest.approx(len(bag.ids) / len(batch))
    assert frequencies[0].sum() == pytest.approx(1)


def test_a_category_that_is_far_out_does_not_set_the_price_of_others():
    ckpt = dataclasses.replace(kinds.checkpoint(), counts=None)
    rows = Rows(ckpt.schema, kinds.batch(ckpt, 4000))
    counts = np.ones(ckpt.schema.categories, np.int64)
    before = from_rows(ckpt, rows, counts, seed=0)
    embeddings = ckpt.embeddings.copy()
    embeddings[5] = 1e5
    after = from_rows(dataclasses.replace(ckpt, embeddings=embeddings), rows, counts, seed=0)
    np.testing.assert_allclose(after.hessians, before.hessians, rtol=0.2, atol=0.05 * before.hessians.max())
