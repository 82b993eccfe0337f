"""The native core from Python: the predictions of numpy, arrays in place, threads, and what happens without it."""

import copy
import gc
import pickle
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fmcompress.errors import DataError, UsageError
from fmcompress.serve import native_library
from fmcompress.serve.compressed_fm import load
from fmcompress.serve.native_library import SWITCH, status
from fmcompress.serve.native_scorer import NativeScorer, NotNativeError
from fmcompress.serve.numpy_scorer import NumpyScorer
from fmcompress.serve.scorer import open_scorer
from tests.mixed import LINKS, packed_mixed, random_rows
from tests.models import EVERY_SHAPE, packed, random_ids


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.delenv(SWITCH, raising=False)


@pytest.fixture
def built():
    if status().reason is not None:
        pytest.skip(f"no native core: {status().reason}")


def every_kind(link="sigmoid"):
    fields = ("40 3x2 4 | 9 raw:8 raw", "60 2x16 shared", "7 raw raw")
    return packed_mixed(6, *fields, pads=(0, None, 6), shared=(1, 1), numeric=(False, True), link=link)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("link", LINKS)
def test_predictions_are_those_of_numpy(link):
    model = every_kind(link)
    rows = random_rows(model.schema, 3000, missing=0.2)
    native, numpy = NativeScorer(model), NumpyScorer(model)
    np.testing.assert_allclose(native.predict(*rows), numpy.predict(*rows), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("shape", EVERY_SHAPE)
def test_predictions_of_every_quantizer_are_those_of_numpy(shape):
    model = packed(*EVERY_SHAPE[shape])
    ids = random_ids(model.schema, 400, missing=0.1)
    found = NativeScorer(model).predict(ids)
    np.testing.assert_allclose(found, NumpyScorer(model).predict(ids), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">i4", ">i8"])
@pytest.mark.parametrize("kind", ["C", "F", "every second", "list"])
def test_rows_may_be_of_any_type_and_lie_in_memory_as_they_like(dtype, kind):
    model = every_kind()
    ids, values = random_rows(model.schema, 90, missing=0)
    ids = np.abs(ids)
    expected = model.predict(ids, values)
    ids = ids.astype(dtype)
    for rows in (ids, values):
        rows.flags.writeable = False
    of = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "every second": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
        "list": np.ndarray.tolist,
    }[kind]
    np.testing.assert_array_equal(model.predict(of(ids), of(values)), expected)
    np.testing.assert_allclose(model.predict(of(ids), of(values.astype(np.float32))), expected, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("built")
def test_no_rows_one_row_and_more_threads_than_rows():
    model = every_kind()
    ids, values = random_rows(model.schema, 5000)
    whole = model.predict(ids, values)
    assert model.predict(ids[:0], values[:0]).shape == (0,)
    np.testing.assert_array_equal(model.predict(ids[7:8], values[7:8]), whole[7:8])
    for threads in (2, 3, 1000):
        np.testing.assert_array_equal(model.predict(ids, values, threads=threads), whole)
    with pytest.raises(UsageError, match="threads are 0, expected 1 or more"):
        model.predict(ids, values, threads=0)
    assert NumpyScorer(model).predict(ids, values, threads=2).shape == whole.shape


@pytest.mark.usefixtures("built")
def test_what_is_wrong_is_said_in_the_same_words():
    model = every_kind()
    ids, values = random_rows(model.schema, 900)
    for row, column, wrong in ((0, 1, 60), (899, 0, -2), (600, 4, 2**40), (5, 2, 7)):
        broken = ids.astype(np.int64)
        broken[row, column] = wrong
        told = []
        for scorer in (NativeScorer(model), NumpyScorer(model)):
            with pytest.raises(DataError) as caught:
                scorer.predict(broken, values, threads=2)
            told.append(str(caught.value))
        assert told[0] == told[1]
        assert f"row {row}, field {model.schema.id_names[column]!r}: id {wrong} is out of range" in told[0]
    broken = values.astype(np.float64)
    broken[17, 1] = 1.2345678901e39
    for scorer in (NativeScorer(model), NumpyScorer(model)):
        with pytest.raises(DataError, match=r"row 17, field 'n1': value is 1\.2345678901e\+39"):
            scorer.predict(ids, broken)


@pytest.mark.usefixtures("built")
def test_threads_of_python_score_at_the_same_time():
    model = every_kind()
    batches = [random_rows(model.schema, 700, seed=seed) for seed in range(24)]
    expected = [model.predict(*batch) for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        for found, one in zip(pool.map(lambda batch: model.predict(*batch), batches), expected, strict=True):
            np.testing.assert_array_equal(found, one)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("mapped", [False, True])
def test_arrays_are_used_in_place_and_live_as_long_as_the_scorer(tmp_path, mapped):
    every_kind().save(tmp_path / "a")
    model = load(tmp_path / "a", map=mapped)
    rows = random_rows(model.schema, 50)
    scorer = NativeScorer(model)
    assert np.shares_memory(scorer._kept[2], model.values)
    assert np.shares_memory(scorer._kept[3], model.codes)
    expected = scorer.predict(*rows)
    (tmp_path / "a").unlink()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    np.testing.assert_array_equal(scorer.predict(*rows), expected)


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_model_that_has_scored_can_be_copied_and_pickled(monkeypatch, switch):
    monkeypatch.setenv(SWITCH, switch)
    model = every_kind()
    rows = random_rows(model.schema, 20)
    expected = model.predict(*rows)
    for same in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(same.predict(*rows), expected)


@pytest.mark.usefixtures("built")
def test_the_way_is_told_and_can_be_chosen(monkeypatch):
    model = packed(4, "9 2x4 4", "5 raw raw")
    assert type(open_scorer(model)) is NativeScorer
    assert (status().reason, status().path.parent) == (None, Path(native_library.__file__).parent)
    assert status().version
    monkeypatch.setenv("FMCOMPRESS_ISA", "portable")
    assert status().isa == "portable"
    monkeypatch.setenv(SWITCH, "0")
    assert status().reason == "FMCOMPRESS_NATIVE=0 leaves it out"
    assert (status().version, status().isa) == (None, None)
    assert type(open_scorer(model)) is NumpyScorer


def test_without_a_core_that_can_be_used_numpy_scores(monkeypatch, tmp_path):
    path = tmp_path / "libfmcompress.so"
    monkeypatch.setattr(native_library, "library_path", lambda: path)
    model = packed(4, "9 2x4 4", "5 raw raw")
    assert "has not been built" in status().reason
    native_library._opened.cache_clear()
    path.write_bytes(b"no library")
    assert status().reason.startswith("it cannot be loaded: ")
    assert "\n" not in status().reason
    with pytest.raises(NotNativeError, match="cannot be loaded"):
        NativeScorer(model)
    assert type(open_scorer(model)) is NumpyScorer
    native_library._opened.cache_clear()


@pytest.mark.usefixtures("built")
def test_a_core_of_another_version_is_not_used(monkeypatch):
    native_library._opened.cache_clear()
    monkeypatch.setattr(native_library, "ABI", 0)
    assert status().reason.startswith("it has ABI 1, expected 0")
    native_library._opened.cache_clear()
