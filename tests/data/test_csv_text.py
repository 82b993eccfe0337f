"""Rows of CSV end where Python's reader says that they end, however the text is cut into blocks."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmcompress.data.csv_text import OpenQuoteError, RowTooLongError, blocks_of, count_rows, header_of

CELLS = st.lists(st.sampled_from(["a", "b1", ",", ";", '"', "\n", "\r\n", " "]), max_size=6).map("".join)
PIECES = st.lists(st.sampled_from(['"', "a", ",", "\n", "\r\n", '""', ',"', '",']), max_size=30)


def rows_of(text):
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=",") if row]


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=8), st.integers(1, 40), st.sampled_from(["\n", "\r\n"])
)
def test_rows_that_were_written_are_found(rows, size, end):
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator=end).writerows(rows)
    text = written.getvalue().encode()
    blocks = list(blocks_of(io.BytesIO(text), size, ","))
    assert b"".join(blocks) == text
    assert [count_rows(block, ",") for block in blocks] == [len(rows_of(block.decode())) for block in blocks]
    assert [row for block in blocks for row in rows_of(block.decode())] == rows


@given(PIECES, st.integers(1, 10))
def test_stray_quotes_part_no_row(pieces, size):
    text = "".join(pieces) + "\n"
    try:
        blocks = [block.decode() for block in blocks_of(io.BytesIO(text.encode()), size, ",")]
    except OpenQuoteError:
        with pytest.raises(csv.Error):
            list(csv.reader(io.StringIO(text, newline=""), strict=True))
        return
    assert "".join(blocks) == text
    assert [row for block in blocks for row in rows_of(block)] == rows_of(text)
    assert [count_rows(block.encode(), ",") for block in blocks] == [len(rows_of(block)) for block in blocks]


@pytest.mark.parametrize(
    ("text", "names", "delimiter"),
    [
        ("a,b\n1,2\n", ("a", "b"), ","),
        ("\n\r\na\tb,c\td\n", ("a", "b,c", "d"), "\t"),
        ('"a,b,c";d\n', ("a,b,c", "d"), ";"),
        ('"a\nb",c\n1,2', ("a\nb", "c"), ","),
        ("a", ("a",), ","),
        ("a, b \r1,2", ("a", "b"), ","),
    ],
)
def test_headers(text, names, delimiter):
    found = header_of(io.BytesIO(text.encode()))
    assert (found.names, found.delimiter) == (names, delimiter)


def test_quotes_that_are_never_closed(monkeypatch):
    monkeypatch.setattr("fmcompress.data.csv_text.LONGEST_ROW_BYTES", 1000)
    text = b'a,b\n1,"' + b"2,3\n" * 2**15
    with pytest.raises(RowTooLongError):
        list(blocks_of(io.BytesIO(text), 100, ","))
    with pytest.raises(RowTooLongError):
        header_of(io.BytesIO(b'"' + b"a,b\n" * 2**15))
