"""Tokens are looked up in the graph as the vocabulary has them."""

import numpy as np
import pytest

from fmcompress.artifact import with_vocabulary
from fmcompress.errors import UsageError
from fmcompress.export.columns import WRONG_ID
from fmcompress.export.onnx_file import onnx_model
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.vocabulary import Vocabulary
from tests.export.runtime import Runtime, onnx
from tests.mixed import packed_mixed, random_rows

USER = FieldVocabulary.of({"alice": 1, "bob": 2, "größe 🛒": 3, "b": 2}, oov=9, missing=0)
ITEM = FieldVocabulary.of({"x": 4, "": 5, "y\n": 0})


def model(vocabulary, **changes):
    """Return a model of fields f0 and f1, s0 with the table of f0, s1 with that of f1, and one numeric field."""
    described = ("10 2x4 4 | 5 raw raw", "6 raw raw")
    plain = packed_mixed(4, *described, pads=[0, None], shared=[0, 1], numeric=[False], **changes)
    return with_vocabulary(plain, Vocabulary(vocabulary))


def scored(exported, columns, values):
    """Return predictions of columns of ids and tokens, by the names of their fields."""
    runtime = Runtime(exported)
    rows = {
        kind: np.array([columns[name] for name in runtime.names[kind]]).T
        for kind in ("tokens", "ids")
        if kind in runtime.names
    }
    return runtime.predict(rows.get("ids"), values, rows["tokens"].astype(object))


def test_tokens_are_looked_up_beside_ids():
    compressed = model({"f0": USER, "s1": ITEM})
    exported = onnx_model(compressed, tokens=True)
    onnx.checker.check_model(exported, full_check=True)
    columns = {
        "f0": ["alice", "b", "unknown", "größe 🛒"],
        "s0": ["bob", "", "alice", "nobody"],
        "f1": [5, -1, 0, 3],
        "s1": ["x", "", "y\n", "x"],
    }
    ids = {"f0": [1, 2, 9, 3], "s0": [2, 0, 1, 9], "f1": [5, -1, 0, 3], "s1": [4, 5, 0, 4]}
    _, values = random_rows(compressed.schema, 4)
    expected = compressed.predict(np.array([ids[name] for name in compressed.schema.id_names]).T, values)
    np.testing.assert_allclose(scored(exported, columns, values), expected, rtol=0, atol=1e-5)


def test_fields_with_keys_take_ids():
    keys = FieldKeys.of(np.array([7, 8]))
    runtime = Runtime(onnx_model(model({"f0": USER, "f1": ITEM, "s1": keys}), tokens=True))
    assert (runtime.names["tokens"], runtime.names["ids"]) == (["f0", "f1", "s0"], ["s1"])
    with pytest.raises(UsageError, match="carries keys and no tokens"):
        onnx_model(model({"f0": keys}), tokens=True)


def test_all_fields_may_have_tokens():
    compressed = model({"f0": USER, "f1": ITEM})
    runtime = Runtime(onnx_model(compressed, tokens=True))
    assert [port.name for port in runtime.session.get_inputs()] == ["tokens", "values"]
    tokens = np.array([["alice", "x", "bob", "x"]] * 3, dtype=object)
    ids = {"f0": 1, "f1": 4, "s0": 2, "s1": 4}
    rows = np.array([[ids[name] for name in compressed.schema.id_names]] * 3)
    order = [["f0", "f1", "s0", "s1"].index(name) for name in runtime.names["tokens"]]
    found = runtime.predict(values=np.ones((3, 1)), tokens=tokens[:, order])
    np.testing.assert_allclose(found, compressed.predict(rows, np.ones((3, 1))), rtol=0, atol=1e-5)


def test_an_unknown_token_without_an_id_fails_and_says_so():
    compressed = model({"f1": ITEM})
    columns = {"f0": [1, 2], "s0": [1, 2], "f1": ["x", "nothing known"], "s1": ["x", "x"]}
    with pytest.raises(Exception, match=WRONG_ID):
        scored(onnx_model(compressed, tokens=True), columns, np.zeros((2, 1)))


def test_an_empty_string_is_missing_where_it_is_no_token():
    compressed = model({"f0": FieldVocabulary.of({"alice": 1})})
    columns = {"f0": ["", "alice"], "s0": ["alice", ""], "f1": [1, 1], "s1": [1, 1]}
    ids = {"f0": [-1, 1], "s0": [1, -1], "f1": [1, 1], "s1": [1, 1]}
    expected = compressed.predict(np.array([ids[name] for name in compressed.schema.id_names]).T, np.zeros((2, 1)))
    found = scored(onnx_model(compressed, tokens=True), columns, np.zeros((2, 1)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_tokens_that_no_string_can_be_do_no_harm():
    compressed = model({"f0": FieldVocabulary.of({"\ud800": 1, "alice": 2}, oov=3)})
    columns = {"f0": ["alice", "?"], "s0": ["?", "alice"], "f1": [1, 1], "s1": [1, 1]}
    assert scored(onnx_model(compressed, tokens=True), columns, np.zeros((2, 1))).shape == (2,)


def test_the_order_of_tokens_makes_no_difference():
    one, other = ({"f0": FieldVocabulary.of(dict(pairs))} for pairs in ([("a", 1), ("b", 2)], [("b", 2), ("a", 1)]))
    first, second = (onnx_model(model(own), tokens=True).SerializeToString(deterministic=True) for own in (one, other))
    assert first == second
