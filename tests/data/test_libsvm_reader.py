"""Lines of libFM and libsvm text come out as rows of the fields, or with an error that says which line."""

import gzip

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import open_rows
from fmcompress.errors import DataError
from fmcompress.fm.field_specs import parse_fields
from tests.data.rows import AB, GENUINE, collected

TOY = parse_fields("user:7,item:5,cat:11")


def test_libfms_own_data(text):
    rows = open_rows(GENUINE, TOY)
    ids, labels = collected(rows.batches())
    expected, targets = load_svmlight_file(str(GENUINE), n_features=TOY.categories, zero_based=True)
    dense = np.zeros((100, TOY.categories))
    for row, own in enumerate(ids):
        dense[row, TOY.offsets + own] = 1
    assert rows.rows == 100
    np.testing.assert_array_equal(dense, expected.toarray())
    assert labels == targets.tolist()


def test_all_that_lines_can_be(text):
    path = text(
        "# a comment\n+1 0:1 10:1\r\n\n-1 qid:7 13:1\t9:1.0 # why\n   \n1\n0 3:0 12:1e0 \n1 qid:3 9:1", name="x.svm"
    )
    rows = open_rows(path, AB)
    assert rows.rows == 5
    assert collected(rows.batches()) == ([[0, 0], [9, 3], [-1, -1], [-1, 2], [9, -1]], [1, 0, 1, 0, 1])
    assert np.isnan(collected(open_rows(path, AB, labels=None).batches())[1]).all()


def test_indices_from_1(text):
    path = text("1 1:1 14:1\n")
    assert collected(open_rows(path, AB, DataOptions(first_index=1)).batches())[0] == [[0, 3]]
    with pytest.raises(DataError, match="line 1: index 14 is out of range, expected 0 to 13") as error:
        collected(open_rows(path, AB).batches())
    assert "--first-index" in error.value.hint


def test_numeric_fields_stand_where_the_tool_has_them(text):
    schema = parse_fields("price:numeric,a:3,age:linear,b:2")
    (batch,) = open_rows(text("4.5 0:-2.5 1:1 4:30 6:1\n-2 5:1\n"), schema, labels="number").batches()
    assert batch.labels.tolist() == [4.5, -2]
    assert batch.ids.tolist() == [[0, 1], [-1, 0]]
    assert batch.values.tolist() == [[-2.5, 30], [0, 0]]


def test_pad_is_missing(text):
    fields = parse_fields("a:10,b:4").fields
    schema = type(AB)((type(fields[0])("a", 10, pad=2), fields[1]))
    assert collected(open_rows(text("1 2:1 10:1\n"), schema).batches())[0] == [[-1, 0]]


WRONG_LINES = {
    "no number": ("1 0:1\n1 x:1\n", "line 2: found 'x:1', expected index:value"),
    "no value": ("1 0:1\n\n# c\n1 3\n", "line 4: found '3', expected index:value"),
    "value twice": ("1 0:1:1\n1 3\n", "line 1: found '0:1:1'"),
    "stray colon": ("1 0: 1\n", "line 1: found '0:'"),
    "label alone": ("click 0:1\n", "line 1: found 'click', expected a label"),
    "quotes": ('1 "0":1\n', "line 1: found '\"0\":1'"),
    "fractional index": ("1 0.5:1\n", "line 1: found '0.5:1'"),
    "huge index": ("1 99999999999999999999:1\n", "line 1: found '9+:1'"),
    "negative index": ("1 0:1\n1 -1:1\n", "line 2: index -1 is out of range, expected 0 to 13"),
    "csv": ("label,a,b\n1,0,0\n", "line 1: found 'label,a,b'"),
    "two categories": ("1 0:1\n0 1:1 10:1 2:1\n", "line 2, field 'a': is there twice"),
    "half a category": ("1 0:1\n0 1:1 10:0.5\n", "line 2, field 'b': index 10 has value 0.5, expected 1"),
    "no finite value": ("1 0:nan\n", "line 1, field 'a': index 0 has value nan"),
    "label 2": ("1 0:1\n2 0:1\n", "line 2: label is 2, expected 0 or 1"),
    "label nan": ("nan 0:1\n", "line 1: label is nan"),
}


@pytest.mark.parametrize(("lines", "says"), WRONG_LINES.values(), ids=WRONG_LINES)
def test_errors_name_file_and_line(text, lines, says):
    path = text(lines)
    with pytest.raises(DataError, match=says) as error:
        collected(open_rows(path, AB).batches())
    assert str(error.value).startswith(f"{path}: line")


def test_values_of_numeric_fields_are_finite(text):
    for wrong in ("nan", "inf", "1e39"):
        with pytest.raises(DataError, match=r"line 2, field 'n': value is (nan|inf|1e\+39)"):
            collected(open_rows(text(f"1 0:1\n1 10:{wrong}\n"), parse_fields("a:10,n:numeric")).batches())


def test_indices_out_of_range_can_be_skipped(text):
    rows = open_rows(text("1 0:1 14:1\n0 1:1 99999:0.5\n"), AB, DataOptions(oov="zero"))
    for _ in range(2):
        assert collected(rows.batches())[0] == [[0, -1], [1, -1]]
        assert rows.out_of_range == 2


def test_shared_tables_have_no_place_in_text():
    with pytest.raises(DataError, match=r"test\.libfm: its indices do not tell fields 'clicked' and 'item' apart"):
        open_rows(GENUINE, parse_fields("item:5,clicked=item"))


def test_lines_are_counted_over_chunks(many):
    path = many / "b.svm"
    path.write_text(path.read_text() + "1 x\n")
    last = path.read_text().count("\n")
    with pytest.raises(DataError, match=f"b.svm: line {last}: found 'x'"):
        collected(open_rows(many, parse_fields("n:1000")).batches())


def test_a_file_that_changes(many):
    rows = open_rows(many, parse_fields("n:1000"))
    (many / "b.svm").write_text("1 0:1\n")
    with pytest.raises(DataError, match=r"b\.svm: has changed while it was read"):
        collected(rows.batches())


def test_a_line_without_end(text, monkeypatch):
    monkeypatch.setattr("fmcompress.data.libsvm_text._CHUNK_BYTES", 10)
    monkeypatch.setattr("fmcompress.data.libsvm_text._LONGEST_LINE_BYTES", 100)
    with pytest.raises(DataError, match=r"x\.libfm: a line is longer than 100 bytes"):
        open_rows(text("1" * 200), AB)


def test_compressed_files_are_read_in_order(text, monkeypatch):
    monkeypatch.setattr("fmcompress.data.libsvm_text._CHUNK_BYTES", 100)
    lines = "".join(f"{n % 2} {n}:1\n" + "# more\n" * (n % 10 == 0) for n in range(1000))
    plain, packed = text(lines, name="x.libsvm"), text(gzip.compress(lines.encode()), name="y.libsvm.gz")
    rows = open_rows(packed, parse_fields("n:1000"))
    assert rows.rows == 1000
    assert collected(rows.batches()) == collected(open_rows(plain, parse_fields("n:1000")).batches())
    wrong = text(gzip.compress((lines + "1 5:2\n").encode()), name="z.libsvm.gz")
    with pytest.raises(DataError, match=r"z\.libsvm\.gz: line 1101, field 'n': index 5 has value 2"):
        collected(open_rows(wrong, parse_fields("n:1000")).batches())


def test_header_lines(text):
    with pytest.raises(DataError, match="line 1: found 'label', expected a label") as error:
        collected(open_rows(text("label index:value\n1 1:1\n"), parse_fields("n:10")).batches())
    assert "delete the line" in error.value.hint
