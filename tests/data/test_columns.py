"""Columns of strings go through the vocabulary, and each kind of field has its columns."""

import numpy as np
import pyarrow as pa
import pytest

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import count_categories, open_rows, open_training_rows
from fmcompress.errors import DataError
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.vocabulary import Vocabulary
from tests.data.rows import AB, collected, write

TOKENS = {"x": 7, "y": 0, "é": 9, "why": 0}
STRICT = Vocabulary({"a": FieldVocabulary.of(TOKENS)})
LENIENT = Vocabulary({"a": FieldVocabulary.of(TOKENS, oov=1, missing=2)})
KINDS = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_tokens_become_the_ids_of_the_vocabulary(tmp_path, kind):
    tokens = ["x", "y", None, "é", "why", "new"]
    a = pa.array(tokens * 50).cast(kind) if not pa.types.is_dictionary(kind) else pa.array(tokens * 50, kind)
    path = write(tmp_path / "x.parquet", row_group_size=70, label=[0] * 300, a=a, b=[1] * 300)
    ids, _ = collected(open_rows(path, AB, vocabulary=LENIENT).batches())
    assert [a for a, _ in ids] == [7, 0, 2, 9, 0, 1] * 50
    rows = open_rows(path, AB, DataOptions(oov="zero"), vocabulary=STRICT)
    assert [a for a, _ in collected(rows.batches())[0]] == [7, 0, -1, 9, 0, -1] * 50
    assert rows.out_of_range == 50


def test_tokens_are_those_of_their_row_group(tmp_path):
    rng = np.random.default_rng(0)
    tokens = [f"token {number}" for number in range(1000)]
    drawn = rng.integers(0, 1000, 5000)
    path = write(tmp_path / "x.parquet", row_group_size=300, label=[0] * 5000, a=[tokens[n] for n in drawn])
    vocabulary = Vocabulary({"a": FieldVocabulary.of({token: n for n, token in enumerate(tokens)})})
    rows = open_rows(path, Schema.of([("a", 1000)]), vocabulary=vocabulary)
    assert [a for (a,) in collected(rows.batches())[0]] == drawn.tolist()
    shuffled = collected(rows.batches(order=np.random.default_rng(1)))[0]
    assert sorted(a for (a,) in shuffled) == sorted(drawn.tolist())


def test_unknown_tokens_are_errors(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0, 1], a=["x", "nobody " * 20], b=[0, 0])
    with pytest.raises(DataError, match=r"x\.parquet: row 1, field 'a': token 'nobody .{,60}…' is none of") as error:
        collected(open_rows(path, AB, vocabulary=STRICT).batches())
    assert "--oov zero" in error.value.hint


def test_fields_with_a_vocabulary_take_ids_too(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0, 1, 0], a=[3, None, 9], b=[0, 0, 0])
    assert collected(open_rows(path, AB, vocabulary=LENIENT).batches())[0] == [[3, 0], [-1, 0], [9, 0]]
    write(path, label=[0], a=[1.5], b=[0])
    with pytest.raises(DataError, match=r"row 0, field 'a': id is 1\.5, expected a whole number"):
        collected(open_rows(path, AB, vocabulary=LENIENT).batches())
    write(path, label=[0], a=[b"x"], b=[0])
    with pytest.raises(DataError, match=r"column 'a' is of type binary, expected integers .* or strings"):
        open_rows(path, AB, vocabulary=LENIENT)


def test_strings_need_a_vocabulary(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0], a=["x"], b=["y"])
    with pytest.raises(DataError, match="column 'b' is of type string, expected integers") as error:
        open_rows(path, AB, vocabulary=STRICT)
    assert "--vocab FILE" in error.value.hint


def test_text_that_is_not_utf_8(tmp_path):
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
    path = write(tmp_path / "x.parquet", label=[0], a=broken, b=[0])
    with pytest.raises(DataError, match=r"x\.parquet: field 'a' has text that is not UTF-8"):
        collected(open_rows(path, AB, vocabulary=STRICT).batches())


MIXED = Schema.in_order(
    [NumericField("price"), Field("item", 5, pad=0), SharedField("clicked", "item"), NumericField("age", True)]
)


def test_fields_of_all_kinds(tmp_path):
    path = write(
        tmp_path / "x.parquet", label=[0, 1, 1], age=pa.array([30, None, -1], pa.int16()), clicked=[4, 0, None],
        item=[1, 2, 0], price=pa.array([1.5, None, 1e30]),
    )  # fmt: skip
    (batch,) = open_rows(path, MIXED).batches()
    assert batch.ids.tolist() == [[1, 4], [2, -1], [-1, -1]]  # item's PAD is that of clicked too
    assert batch.values.dtype == np.float32
    np.testing.assert_array_equal(batch.values, np.float32([[1.5, 30], [0, 0], [1e30, -1]]))
    np.testing.assert_array_equal(count_categories(open_rows(path, MIXED)), [0, 1, 1, 0, 1])


def test_order_is_that_of_the_models_tool(tmp_path):
    path = write(tmp_path / "x.parquet", p=[0.5], y=[0], i=[1], c=[2], a=[True])
    (batch,) = open_rows(path, MIXED, DataOptions("y", "order")).batches()
    assert (batch.ids.tolist(), batch.values.tolist()) == ([[1, 2]], [[0.5, 1]])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e39])
def test_values_that_are_none(tmp_path, value):
    path = write(tmp_path / "x.parquet", label=[0, 1], price=[1, value], item=[1, 1], clicked=[1, 1], age=[1, 1])
    with pytest.raises(DataError, match=r"x\.parquet: row 1, field 'price': value is (nan|inf|-1e\+39), expected"):
        collected(open_rows(path, MIXED).batches())


def test_numeric_columns_hold_numbers(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0], price=["1"], item=[1], clicked=[1], age=[1])
    with pytest.raises(DataError, match="column 'price' is of type string, expected numbers"):
        open_rows(path, MIXED)


def test_shared_fields_are_checked_against_their_table(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0], price=[1], item=[1], clicked=[5], age=[1])
    with pytest.raises(DataError, match="row 0, field 'clicked': id 5 is out of range, expected 0 to 4"):
        collected(open_rows(path, MIXED).batches())
    vocabulary = Vocabulary({"item": FieldVocabulary.of({"shoe": 3})})
    write(path, label=[0], price=[1], item=["shoe"], clicked=["shoe"], age=[1])
    assert collected(open_rows(path, MIXED, vocabulary=vocabulary).batches())[0] == [[3, 3]]


def test_labels_of_a_regression(tmp_path):
    path = write(tmp_path / "x.parquet", label=[-3.5, 5e6], a=[0, 0], b=[0, 0])
    assert collected(open_rows(path, AB, labels="number").batches())[1] == [-3.5, 5e6]
    for wrong in (None, float("inf"), 1e39):
        write(path, label=[1.0, wrong], a=[0, 0], b=[0, 0])
        with pytest.raises(DataError, match=r"row 1: label is (null|inf|1e\+39), expected a number"):
            collected(open_rows(path, AB, labels="number").batches())


def test_training_rows_take_all_that_is_said(tmp_path):
    path = write(tmp_path / "x.parquet", y=[2.5] * 40, a=["x"] * 39 + ["z"], b=[0] * 40)
    train, valid = open_training_rows(
        path, None, schema=AB, options=DataOptions("y", oov="zero"), labels="number", vocabulary=STRICT
    )
    assert collected(train.batches()) == ([[7, 0]] * 38, [2.5] * 38)
    assert collected(valid.batches())[0] == [[7, 0], [-1, 0]]
