"""Scores of models with fields of every kind and any link, against the sum over all pairs of a row."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.errors import DataError
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.serve import numpy_scorer
from tests.mixed import LINKS, mixed, mixed_models, packed_mixed, plain_predictions, random_rows
from tests.models import EVERY_SHAPE, origin, pack_model

pytestmark = pytest.mark.usefixtures("way")


def assert_scores(model, ids, values):
    found = model.predict(ids, values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, plain_predictions(model, ids, values), rtol=1e-5, atol=2e-6)


@settings(deadline=None, max_examples=60)
@given(model=mixed_models(), seed=st.integers(0, 99))
def test_any_mixture_of_kinds_is_scored(model, seed):
    packed = pack_model(model, origin())
    assert_scores(packed, *random_rows(model.schema, 25, seed=seed))


@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_shared_tables_of_every_quantizer_are_scored(shape):
    """Each table is looked up three times."""
    dim, *fields = EVERY_SHAPE[shape]
    tables = range(len(fields))
    model = packed_mixed(dim, *fields, shared=[*tables, *tables], numeric=(False,))
    assert_scores(model, *random_rows(model.schema, 60))


@pytest.mark.parametrize("link", LINKS)
def test_predictions_go_through_the_link(link):
    model = packed_mixed(4, "9 2x4 4", "5 raw raw", numeric=(False,), link=link)
    assert_scores(model, *random_rows(model.schema, 50))


@pytest.mark.parametrize("shape", ["mixed", "many tiers"])
def test_pad_contributes_as_little_as_a_missing_value(shape):
    dim, *fields = EVERY_SHAPE[shape]
    model = packed_mixed(dim, *fields, pads=[0] * len(fields), shared=(0,), numeric=())
    ids, _ = random_rows(model.schema, 80, missing=0)
    ids[0], ids[1] = 0, -1
    missing = np.where(ids == 0, -1, ids)
    np.testing.assert_array_equal(model.predict(ids), model.predict(missing))
    assert model.predict(ids)[0] == model.predict(ids)[1]


def test_a_missing_value_contributes_nothing():
    model = packed_mixed(4, "9 2x4 4", numeric=(False, True, False))
    ids, values = random_rows(model.schema, 50, missing=0.4)
    assert np.isnan(values).any()
    np.testing.assert_array_equal(model.predict(ids, values), model.predict(ids, np.nan_to_num(values)))


def test_chunks_join_without_a_seam(monkeypatch):
    model = packed_mixed(4, "9 2x4 4 | 20 raw raw", pads=(3,), shared=(0,), numeric=(False, True))
    ids, values = random_rows(model.schema, 101)
    whole = model.predict(ids, values)
    monkeypatch.setattr(numpy_scorer, "_CHUNK_ROWS", 10)
    np.testing.assert_allclose(model.predict(ids, values), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4", "u1", ">f8"])
def test_values_may_be_any_numbers_and_are_left_as_they_are(dtype):
    model = packed_mixed(4, "9 2x4 4", numeric=(False, True))
    ids, values = random_rows(model.schema, 40, missing=0)
    values = np.abs(np.round(values)).astype(dtype)
    values.flags.writeable = False
    expected = model.predict(ids, values.astype(np.float32))
    for same in (values, np.asfortranarray(values), values.tolist()):
        np.testing.assert_allclose(model.predict(ids, same), expected, rtol=0, atol=1e-7)


def test_values_in_thousands_cost_no_digits():
    """½ (‖xv‖² − ‖xv‖²) is 0, however large each half is."""
    model = mixed(8, "9 2x4 4", numeric=(False,), link="identity")
    model = dataclasses.replace(model, numeric=NumericWeights(np.float32([0.001]), model.numeric.embeddings))
    packed = pack_model(model, origin())
    found = packed.predict([[-1]], [[25_000.0]])
    assert found[0] == pytest.approx(model.bias + 25, abs=1e-4)


def test_huge_values_give_no_nan():
    model = packed_mixed(4, "9 2x4 4", numeric=(False, False, True))
    largest = float(np.finfo(np.float32).max)
    found = model.predict([[0]] * 3, [[largest, largest, largest], [-largest, largest, 0], [1e30, 1, -1]])
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "values are missing, expected those of 2 numeric fields: 'n0', …"),
        ([[1, 2]], r"values are int64 of shape \(1, 2\), expected numbers of shape \(2, 2\)"),
        ([[1], [2]], r"of shape \(2, 1\)"),
        ([1, 2], r"of shape \(2,\)"),
        ([[1, 2], [3]], "values are no array: their rows differ in length"),
        ([["1", "2"]] * 2, "values are <U1"),
        ([[True, False]] * 2, "values are bool"),
        ([[1, None]] * 2, "values are object"),
        ([[1, 2], [3, np.inf]], "row 1, field 'n1': value is inf, expected a number"),
        ([[-np.inf, 2], [3, 4]], "row 0, field 'n0': value is -inf"),
        ([[1, 2], [1e39, 4]], "row 1, field 'n0': value is 1e\\+39"),
    ],
    ids=repr,
)
def test_what_is_no_array_of_values_is_refused(values, message):
    model = packed_mixed(4, "9 2x4 4", numeric=(False, True))
    with pytest.raises(DataError, match=message):
        model.predict([[0], [1]], values)


def test_values_of_no_fields_are_refused_and_none_are_fine():
    model = packed_mixed(4, "9 2x4 4")
    assert model.predict([[0]], np.empty((1, 0))).shape == (1,)
    with pytest.raises(DataError, match=r"expected numbers of shape \(1, 0\)"):
        model.predict([[0]], [[1.0]])


def test_an_id_out_of_range_of_a_shared_table_is_named():
    model = packed_mixed(4, "9 2x4 4", "5 raw raw", pads=(None, 0), shared=(1,))
    with pytest.raises(DataError, match="row 1, field 's0': id 5 is out of range, expected 0 to 4"):
        model.predict([[0, 0, 4], [0, 0, 5]])


def test_a_wrong_value_is_named_by_its_row_and_not_by_that_of_its_chunk(monkeypatch):
    monkeypatch.setattr(numpy_scorer, "_CHUNK_ROWS", 8)
    model = packed_mixed(4, "9 2x4 4", numeric=(False,))
    values = np.zeros((21, 1))
    values[19] = np.inf
    with pytest.raises(DataError, match="row 19, field 'n0'"):
        model.predict(np.zeros((21, 1), np.int64), values)
