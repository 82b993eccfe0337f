"""Scores from packed codes, against the textbook formula in float64."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.artifact import unpack_model
from fmcompress.errors import DataError
from fmcompress.serve import numpy_scorer
from fmcompress.serve.numpy_scorer import NumpyScorer
from tests.models import EVERY_SHAPE, SHAPES, origin, pack_model, packed, plain_logits, quantized, random_ids, sigmoid

pytestmark = pytest.mark.usefixtures("way")


def assert_scores(model, ids):
    expected = sigmoid(plain_logits(unpack_model(model), ids))
    found = model.predict(ids)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_scores_are_those_of_the_formula(shape, missing):
    model = packed(*EVERY_SHAPE[shape])
    assert_scores(model, random_ids(model.schema, 300, missing=missing))


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_every_category_is_scored(shape):
    model = packed(*EVERY_SHAPE[shape])
    ids = np.arange(model.schema.cardinalities.max())[:, None] % model.schema.cardinalities
    assert_scores(model, ids)


embeddings = st.sampled_from(
    [
        *("raw", "shared", "1x2", "1x5", "2x1", "2x4", "3x64", "3,1,700", "6x9", "5,5,5,5,4096,5"),
        *("raw:8", "shared:8", "2x4:8", "b420", "6x9:8"),
    ]
)
linears = st.sampled_from(["raw", "shared", "2", "3", "256", "4096"])
one_tier = st.tuples(st.integers(1, 40), embeddings, linears).map(lambda tier: " ".join(map(str, tier)))
one_field = st.one_of(one_tier, st.lists(one_tier, min_size=2, max_size=4).map(" | ".join))


@settings(deadline=None, max_examples=60)
@given(dim=st.integers(6, 9), fields=st.lists(one_field, min_size=1, max_size=8), seed=st.integers(0, 99))
def test_any_mixture_of_quantizers_is_scored(dim, fields, seed):
    model = packed(dim, *fields, seed=seed)
    assert_scores(model, random_ids(model.schema, 25, seed=seed, missing=0.2))


@pytest.mark.parametrize("shape", ["mixed", "many tiers"])
def test_chunks_join_without_a_seam(monkeypatch, shape):
    model = packed(*EVERY_SHAPE[shape])
    ids = random_ids(model.schema, 101)
    whole = model.predict(ids)
    monkeypatch.setattr(numpy_scorer, "_CHUNK_ROWS", 10)
    np.testing.assert_allclose(model.predict(ids), whole, rtol=0, atol=1e-7)


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_nothing_known_of_a_row_leaves_the_bias(shape):
    model = packed(*EVERY_SHAPE[shape])
    assert model.predict(np.full((1, len(model.schema)), -1))[0] == pytest.approx(sigmoid(model.bias))


def test_scores_saturate_where_logits_are_huge():
    huge = quantized(4, "9 2x4 4", "5 raw raw")
    larger = [tuple(table * np.float32(1e7) for table in field.tables) for field in huge.fields]
    fields = tuple(dataclasses.replace(f, tables=tables) for f, tables in zip(huge.fields, larger, strict=True))
    model = pack_model(dataclasses.replace(huge, fields=fields), origin())
    assert np.abs(model.values).max() == 65504
    found = model.predict(random_ids(model.schema, 200))
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4"])
@pytest.mark.parametrize("shape", ["mixed", "two tiers"])
def test_ids_may_be_any_integers(dtype, shape):
    model = packed(*EVERY_SHAPE[shape])
    ids = random_ids(model.schema, 50, missing=0) % 100
    np.testing.assert_array_equal(model.predict(ids.astype(dtype)), model.predict(ids))


@pytest.mark.parametrize("shape", ["mixed", "many tiers"])
def test_ids_may_lie_in_memory_as_they_like_and_are_left_as_they_are(shape):
    model = packed(*EVERY_SHAPE[shape])
    ids = random_ids(model.schema, 50)
    expected, before = model.predict(ids), ids.copy()
    for same in (np.asfortranarray(ids), np.repeat(ids, 2, axis=1)[:, ::2], ids[::-1][::-1], ids.tolist()):
        np.testing.assert_array_equal(model.predict(same), expected)
    ids.flags.writeable = False
    np.testing.assert_array_equal(model.predict(ids), expected)
    np.testing.assert_array_equal(ids, before)


@pytest.mark.parametrize("shape", ["mixed", "many tiers"])
def test_no_rows_give_no_scores(shape):
    model = packed(*EVERY_SHAPE[shape])
    assert model.predict(np.empty((0, len(model.schema)), np.int64)).shape == (0,)


@pytest.mark.parametrize(
    "ids",
    [
        *([], [0, 0], [[0]], [[0, 0, 0]], [[[0, 0]]], [[0.0, 1.0]], [[True, False]], [["0", "0"]]),
        *([[0, None]], 0, None, [[0, 0], [0]], [[0, 10**30]]),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_array_of_ids_is_refused(ids):
    with pytest.raises(DataError, match="ids are"):
        packed(4, "9 2x4 4", "5 raw raw").predict(ids)


@pytest.mark.parametrize("wrong", [5, -2, 2**31, -(2**63), 2**63 - 1])
@pytest.mark.parametrize("row", [0, 9, 20])
def test_an_id_out_of_range_is_named(monkeypatch, wrong, row):
    monkeypatch.setattr(numpy_scorer, "_CHUNK_ROWS", 8)
    ids = np.zeros((21, 2), dtype=np.int64)
    ids[row, 1] = wrong
    with pytest.raises(DataError, match=f"row {row}, field 'f1': id {wrong} is out of range, expected 0 to 4"):
        packed(4, "9 2x4 4", "5 raw raw").predict(ids)


@pytest.mark.parametrize("wrong", [2**64 - 1, 2**63, 5])
def test_an_unsigned_id_out_of_range_is_no_missing_value(wrong):
    ids = np.array([[0, wrong]], dtype=np.uint64)
    with pytest.raises(DataError, match=r"row 0, field 'f1'.*out of range"):
        packed(4, "9 2x4 4", "5 raw raw").predict(ids)


def test_ids_out_of_range_are_named_in_fields_and_not_in_tiers():
    model = packed(4, "9 2x4 4 | 3 raw raw", "2 raw raw | 3 shared shared")
    with pytest.raises(DataError, match="row 1, field 'f1': id 5 is out of range, expected 0 to 4"):
        model.predict([[11, 4], [0, 5]])
    with pytest.raises(DataError, match=r"of shape \(1, 4\), expected integers of shape \(rows, 2\)"):
        model.predict([[0, 0, 0, 0]])


def test_models_without_tiers_need_no_ranks():
    assert NumpyScorer(packed(*SHAPES["mixed"]))._tiers is None
