"""Fields with several values in a row are inputs of their own, and scored as the package scores them."""

import numpy as np
import pytest

from fmcompress.artifact import with_vocabulary
from fmcompress.errors import UsageError
from fmcompress.export.onnx_file import export_onnx, onnx_model
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from tests.export.runtime import Runtime, onnx, onnxruntime, padded
from tests.mixed import packed_mixed, random_bags, random_rows
from tests.serve.test_bags import DESCRIBED, POOLINGS


def rows_of(model, count=40, **changes):
    ids, values = random_rows(model.schema, count)
    ids = ids.astype(np.int64)
    return ids, values, random_bags(model.schema, ids, **changes)


def assert_alike(model, ids, values, bags, *, weights):
    exported = onnx_model(model, weights=weights)
    onnx.checker.check_model(exported, full_check=True)
    expected = model.predict(ids, values, bags=bags)
    found = Runtime(exported).predict(values=values, **padded(model.schema, ids, bags))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("described", DESCRIBED)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_is_scored_alike(described, pooling):
    other = POOLINGS[-1 - POOLINGS.index(pooling)]
    model = packed_mixed(
        *DESCRIBED[described], pads=(0, None, 6, None), shared=(0, 1), numeric=(False, True),
        poolings={"f0": pooling, "f3": other, "s1": "sqrtn"},
    )  # fmt: skip
    ids, values, bags = rows_of(model)
    assert_alike(model, ids, values, bags, weights=True)
    assert_alike(model, ids, values, {name: Bag(bag.starts, bag.ids) for name, bag in bags.items()}, weights=False)


def test_all_fields_may_have_several_values():
    model = packed_mixed(5, "9 2x4 4", "7 raw raw", poolings={"f0": "each", "f1": "mean"}, numeric=(False,))
    ids, values, bags = rows_of(model)
    assert_alike(model, ids, values, bags, weights=True)
    inputs = [port.name for port in Runtime(onnx_model(model)).session.get_inputs()]
    assert inputs == ["ids.f0", "ids.f1", "values"]


def test_no_values_and_one_value():
    model = packed_mixed(5, "9 2x4 4", "7 raw raw", shared=(1,), poolings={"f1": "mean", "s0": "each"})
    runtime = Runtime(onnx_model(model))
    ids = np.array([[1, -1, -1], [8, -1, -1]])
    none = {"ids.f1": np.empty((2, 0), np.int64), "ids.s0": np.empty((2, 0), np.int64)}
    np.testing.assert_allclose(runtime.predict(ids[:, :1], **none), model.predict(ids), atol=1e-5)
    ids[:, 1:] = 3
    one = {"ids.f1": ids[:, 1:2], "ids.s0": ids[:, 2:]}
    np.testing.assert_allclose(runtime.predict(ids[:, :1], **one), model.predict(ids), atol=1e-5)
    assert runtime.names["bags"] == ["f1", "s0"]
    assert runtime.names["ids"] == ["f0"]


@pytest.mark.parametrize("wrong", [7, -2])
def test_ids_out_of_range_fail(wrong):
    model = packed_mixed(5, "9 2x4 4", "7 raw raw", poolings={"f1": "mean"})
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="id is out of range"):
        Runtime(onnx_model(model)).predict([[1]], **{"ids.f1": np.array([[1, wrong]])})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_fail(wrong):
    model = packed_mixed(5, "9 2x4 4", "7 raw raw", poolings={"f1": "mean"})
    given = {"ids.f1": np.array([[1, 2]]), "weights.f1": np.array([[1, wrong]], np.float32)}
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="weight is not finite"):
        Runtime(onnx_model(model, weights=True)).predict([[1]], **given)


def test_weights_need_a_field_that_has_some(tmp_path):
    with pytest.raises(UsageError, match="no field of the model has several values in a row"):
        export_onnx(packed_mixed(5, "9 2x4 4"), tmp_path / "a.onnx", weights=True)


def test_a_shared_table_is_in_the_file_once():
    fields = ("5000 raw raw", "9 raw raw")
    alone = packed_mixed(8, *fields, poolings={"f0": "mean"})
    sharing = packed_mixed(8, *fields, shared=(0, 0), poolings={"s0": "mean"})
    sizes = [len(onnx_model(model).SerializeToString()) for model in (alone, sharing)]
    assert sizes[1] < sizes[0] + 3000


def test_tokens_of_several_values():
    model = packed_mixed(5, "9 2x4 4", "7 raw raw", "5 raw raw", poolings={"f1": "sqrtn", "f2": "each"})
    known = {name: FieldVocabulary.of({f"größe {i}": i for i in range(5)}, missing=4) for name in ("f0", "f1")}
    runtime = Runtime(onnx_model(with_vocabulary(model, Vocabulary(known)), tokens=True))
    assert [port.name for port in runtime.session.get_inputs()] == ["tokens", "tokens.f1", "ids.f2"]
    words = np.array([["größe 1", "größe 3", ""], ["", "größe 0", "größe 0"]], dtype=object)
    one = np.array([["größe 2"], ["größe 3"]], dtype=object)
    found = runtime.predict(tokens=one, **{"tokens.f1": words, "ids.f2": np.array([[0, 1], [-1, -1]])})
    ids = [[2, -1, -1], [3, -1, -1]]
    expected = model.predict(ids, bags={"f1": [[1, 3, 4], [4, 0, 0]], "f2": [[0, 1], []]})
    np.testing.assert_allclose(found, expected, atol=1e-5)
