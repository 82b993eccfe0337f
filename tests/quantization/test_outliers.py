"""Outliers: found, kept apart, and harmless to all other categories at equal bytes."""

import dataclasses

import numpy as np
import pytest

import fmcompress as fc
from fmcompress.artifact import unpack_model
from fmcompress.checkpoints import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.methods.auto.bit_allocation import ways_to_split
from fmcompress.quantization.outliers import far_out, standing_apart
from fmcompress.quantization.sensitivity import from_moments, shares
from fmcompress.quantization.typical_rows import drawn_ids, logits_and_sums, typical_of
from tests.models import random_checkpoint

pytestmark = pytest.mark.slow

SIZES, DIM, BUDGET = (130, 130, 130), 16, 8000
ROW, OTHER = 7, 200


def ordinary(*, counts=False, link="sigmoid"):
    """Return 390 ordinary rows."""
    rng = np.random.default_rng(0)
    rows = sum(SIZES)
    seen = np.concatenate([1e5 / (1 + rng.permutation(size)) for size in SIZES]).astype(np.int64) if counts else None
    linear, embeddings = (rng.normal(0, 0.3, shape).astype(np.float32) for shape in (rows, (rows, DIM)))
    schema = Schema.of((f"f{number}", size) for number, size in enumerate(SIZES))
    return FMCheckpoint(schema, -1.0, linear, embeddings, link=link, counts=seen)


def with_outliers(checkpoint, kind):
    """Return the same with an outlier of some kind."""
    embeddings, linear = checkpoint.embeddings.copy(), checkpoint.linear.copy()
    if kind == "row":
        embeddings[ROW] = 1e5 * np.sign(embeddings[ROW])
    elif kind == "weight":
        linear[ROW] = 1e6
    elif kind == "both":
        embeddings[ROW], linear[OTHER] = 1e5, -1e6
    elif kind == "entry":
        embeddings[ROW, 3] = 1e16
    else:
        embeddings[ROW], linear[OTHER] = 5, 20
    return dataclasses.replace(checkpoint, embeddings=embeddings, linear=linear)


def error_of_the_others(checkpoint, model):
    """Return the mean error of the logits of rows without the outliers."""
    decoded = unpack_model(model)
    order = decoded.tiers.order
    embeddings, linear = np.empty_like(checkpoint.embeddings), np.empty_like(checkpoint.linear)
    embeddings[order] = np.concatenate([field.embeddings() for field in decoded.fields])
    linear[order] = np.concatenate([field.linear() for field in decoded.fields])
    ids = np.random.default_rng(1).integers(0, checkpoint.schema.cardinalities, (20_000, len(SIZES)))
    rows = ids + checkpoint.schema.offsets
    ids = ids[~np.isin(rows, (ROW, OTHER)).any(axis=1)]
    found = dataclasses.replace(checkpoint, embeddings=embeddings, linear=linear, bias=decoded.bias)
    return np.abs(logits_and_sums(found, ids)[0] - logits_and_sums(checkpoint, ids)[0]).mean()


@pytest.mark.parametrize(("link", "counts"), [("sigmoid", False), ("sigmoid", True), ("identity", False)])
def test_at_equal_bytes_outliers_leave_the_errors_of_the_others_as_they_are(link, counts):
    checkpoint = ordinary(link=link, counts=counts)
    usual = error_of_the_others(checkpoint, fc.quantize(checkpoint, BUDGET))
    for kind in ("row", "weight", "both", "entry", "some"):
        spoilt = with_outliers(checkpoint, kind)
        model = fc.quantize(spoilt, BUDGET)
        assert model.file_bytes <= BUDGET
        assert error_of_the_others(spoilt, model) <= 1.2 * usual, kind


def test_what_fp16_cannot_hold_is_in_fp32_and_exact_to_its_digits():
    checkpoint = with_outliers(ordinary(), "both")
    model = fc.quantize(checkpoint, BUDGET)
    decoded = unpack_model(model)
    linear = np.concatenate([field.linear() for field in decoded.fields])
    assert linear[decoded.tiers.order.tolist().index(OTHER)] == np.float32(-1e6)
    embeddings = np.concatenate([field.embeddings() for field in decoded.fields])
    row = embeddings[decoded.tiers.order.tolist().index(ROW)].astype(np.float64)
    assert np.linalg.norm(row) == pytest.approx(4e5, rel=1e-6)


@pytest.mark.parametrize("method", [fc.LightFM(4, 16, 16), fc.LightFM(2, 256, 0)])
def test_lightfm_stores_them_in_fp32_too(method):
    checkpoint = with_outliers(ordinary(), "both")
    model = fc.quantize(checkpoint, method=method)
    assert [quantizer.value_bytes for quantizer in model.header.quantizers] == [4, 4, 2]
    assert np.abs(np.concatenate([field.linear() for field in unpack_model(model).fields])).max() > 65504


def test_ordinary_checkpoints_have_none_far_out():
    for counts in (False, True):
        checkpoint = random_checkpoint((300, 40, 7), dim=8, counts=counts)
        frequencies = shares(checkpoint.schema, checkpoint.counts)
        assert not far_out(checkpoint, frequencies, typical_of(checkpoint, frequencies)).any()


def test_far_out_is_what_decides_alone_and_is_rare():
    checkpoint = with_outliers(ordinary(), "both")
    frequencies = shares(checkpoint.schema, None)
    typical = typical_of(checkpoint, frequencies)
    assert np.flatnonzero(far_out(checkpoint, frequencies, typical)).tolist() == [ROW, OTHER]
    common = np.where(np.arange(len(frequencies)) == ROW, 0.6, frequencies * 0.4)
    assert np.flatnonzero(far_out(checkpoint, common, typical)).tolist() == [OTHER]


def test_they_do_not_set_the_price_of_the_others():
    usual = from_moments(ordinary(), None)
    spoilt = from_moments(with_outliers(ordinary(), "both"), None)
    np.testing.assert_allclose(spoilt.hessians, usual.hessians, rtol=0.3, atol=0.02 * usual.hessians.max())


def test_a_field_of_large_numbers_does_not_drown_what_others_cost_it():
    checkpoint = ordinary()
    embeddings = checkpoint.embeddings.copy()
    embeddings[:130] *= 1e9
    large = from_moments(dataclasses.replace(checkpoint, embeddings=embeddings, link="identity"), None)
    usual = from_moments(dataclasses.replace(checkpoint, link="identity"), None)
    np.testing.assert_allclose(large.hessians[0], usual.hessians[0], rtol=1e-9)


def test_few_that_are_several_times_larger_stand_apart():
    embeddings, linear = np.ones((300, 2), np.float32), np.ones(300, np.float32)
    embeddings[5, 1], embeddings[6, 0], linear[9] = -7, 5.9, 7
    assert np.flatnonzero(standing_apart(embeddings, linear)).tolist() == [5, 9]
    embeddings[:50] = 100
    assert np.flatnonzero(standing_apart(embeddings, linear)).tolist() == [9]
    assert not standing_apart(embeddings[:15], linear[:15]).any()


def test_what_is_far_out_never_shares_a_tier():
    far, apart, none = (np.isin(np.arange(200), own) for own in ([3], [3, 8], []))
    counts = np.arange(200) ** 2
    assert [own.tolist() for own in ways_to_split(None, 200, none, none)] == [[0] * 200]
    assert len(ways_to_split(counts, 200, none, none)) == 2
    assert len(ways_to_split(counts, 200, none, apart)) == 4
    for own in ways_to_split(counts, 200, far, none):
        assert np.flatnonzero(own == 0).tolist() == [3]
        assert set(own.tolist()) in ({0, 1}, {0, 1, 2})


def test_drawn_rows_are_as_often_what_is_often_and_never_pad():
    checkpoint = random_checkpoint((5, 3), dim=2, counts=False)
    frequencies = np.array([0.1, 0.2, 0.3, 0.4, 0, 1, 0, 0])
    ids = drawn_ids(checkpoint, frequencies, 20_000, seed=3)
    np.testing.assert_allclose(np.bincount(ids[:, 0], minlength=5) / 20_000, frequencies[:5], atol=0.02)
    assert not ids[:, 1].any()
