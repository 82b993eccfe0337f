"""Columns of 64-bit keys go through their vocabulary exactly, whatever a file writes them as."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows
from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag
from fmcompress.fm.field_keys import FieldKeys
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.vocabulary import Vocabulary
from tests.data.rows import AB, collected, write

KEYS = [2**64 - 1, 2**63, 2**63 - 1, 0, 2**53 + 1, 12]
"""Keys with the ids 0, 1, 2, …: -1 and others that floats would round."""

STRICT = Vocabulary({"a": FieldKeys.of(np.array(KEYS, np.uint64), np.arange(6))})
LENIENT = Vocabulary({"a": FieldKeys.of(np.array(KEYS, np.uint64), np.arange(6), oov=8, missing=9)})
ZERO = DataOptions(oov="zero")


def signed(key):
    return key - 2**64 if key >= 2**63 else key


def column(kind):
    if kind == "signed text":
        return [str(signed(key)) for key in KEYS], str
    if kind == "dictionary":
        return pa.array(KEYS, pa.uint64()).dictionary_encode(), None
    if pa.types.is_integer(kind):
        return pa.array([signed(key) if pa.types.is_signed_integer(kind) else key for key in KEYS], kind), None
    if pa.types.is_decimal(kind):
        return pa.array([Decimal(key) for key in KEYS], kind), None
    return pa.array([str(key) for key in KEYS], kind), None


@pytest.mark.parametrize(
    "kind",
    [pa.int64(), pa.uint64(), pa.string(), pa.large_string(), pa.decimal128(21, 0), "signed text", "dictionary"],
    ids=str,
)
def test_keys_of_any_type_are_looked_up_exactly(tmp_path, kind):
    path = write(tmp_path / "x.parquet", label=[0] * 6, a=column(kind)[0], b=[1] * 6)
    assert [a for a, _ in collected(open_rows(path, AB, vocabulary=STRICT).batches())[0]] == [0, 1, 2, 3, 4, 5]


def test_smaller_integers_and_floats_that_hold_them_are_keys(tmp_path):
    for kind in (pa.int8(), pa.uint32(), pa.float32(), pa.float64()):
        path = write(tmp_path / "x.parquet", label=[0] * 3, a=pa.array([12, 0, None], kind), b=[1] * 3)
        assert [a for a, _ in collected(open_rows(path, AB, vocabulary=LENIENT).batches())[0]] == [5, 3, 9]
    write(path, label=[0, 0], a=pa.array([12, 2.0**53]), b=[1, 1])
    with pytest.raises(DataError, match=r"row 1, field 'a': key is .* of type double, which holds"):
        collected(open_rows(path, AB, vocabulary=LENIENT).batches())


def test_unknown_keys_are_errors_or_have_an_id(tmp_path):
    path = write(tmp_path / "x.parquet", label=[0] * 4, a=pa.array([12, None, 13, -1], pa.int64()), b=[0] * 4)
    assert [a for a, _ in collected(open_rows(path, AB, vocabulary=LENIENT).batches())[0]] == [5, 9, 8, 0]
    rows = open_rows(path, AB, ZERO, vocabulary=STRICT)
    assert [a for a, _ in collected(rows.batches())[0]] == [5, -1, -1, 0]
    assert rows.out_of_range == 1
    with pytest.raises(DataError, match=r"x\.parquet: row 2, field 'a': key 13 is none of the vocabulary") as error:
        collected(open_rows(path, AB, vocabulary=STRICT).batches())
    assert "--oov zero" in error.value.hint


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("x", "key is 'x', expected a whole number of 64 bits"),
        ("1.0", "key is '1.0', expected a whole"),
        ("1_0", "key is '1_0', expected a whole"),
        (str(2**64), f"key is '{2**64}', expected a whole"),
        (str(-(2**63) - 1), f"key is '{-(2**63) - 1}', expected a whole"),
        ("9" * 5000, "key is '9999"),
        (0.5, "key is 0.5 of type double"),
        (b"x", "column 'a' is of type binary, expected integers .64-bit keys."),
    ],
)
def test_values_that_are_no_keys(tmp_path, value, says):
    path = write(tmp_path / "x.parquet", label=[0], a=[value], b=[0])
    with pytest.raises(DataError, match=says):
        collected(open_rows(path, AB, vocabulary=STRICT).batches())


@pytest.mark.parametrize(
    ("cells", "ids"),
    [
        (["12", "", "0"], [5, -1, 3]),
        ([str(KEYS[0]), "nan", "12"], [0, -1, 5]),
        ([str(KEYS[0]), str(KEYS[1]), "-1"], [0, 1, 0]),
        (["-9223372036854775808", "0x8000000000000000", "+12"], [1, 1, 5]),
        (['"9007199254740993"', " 12", "NULL"], [4, 5, -1]),
    ],
)
def test_keys_in_csv_are_never_floats(tmp_path, cells, ids):
    path = tmp_path / "x.csv"
    path.write_text("label,a,b\n" + "".join(f"0,{cell},1\n" for cell in cells))
    assert [a for a, _ in collected(open_rows(path, AB, vocabulary=STRICT).batches())[0]] == ids


def test_fields_may_have_several_keys_in_a_row(tmp_path):
    schema = parse_fields("a:6:mean,b:10")
    path = write(tmp_path / "x.parquet", label=[0, 1], a=[[12, 0, -1], []], b=[0, 1])
    csv = tmp_path / "y.csv"
    csv.write_text(f"label,a,b\n0,12|0|{2**64 - 1},0\n1,,1\n")
    for file in (path, csv):
        (batch,) = open_rows(file, schema, vocabulary=STRICT).batches()
        bag = batch.bags["a"]
        assert isinstance(bag, Bag)
        assert (bag.ids.tolist(), bag.starts.tolist()) == ([5, 3, 0], [0, 3, 3])
    write(path, label=[0, 1], a=[[12], [0, 99]], b=[0, 1])
    with pytest.raises(DataError, match="row 1, field 'a': key 99 is none"):
        collected(open_rows(path, schema, vocabulary=STRICT).batches())
