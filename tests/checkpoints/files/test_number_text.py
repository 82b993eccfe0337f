"""Rows of numbers in text: read as they are, or refused with the line that is wrong."""

import io

import numpy as np
import pytest

from fmcompress.checkpoints.files.number_text import NumberedLines, checked_parts, read_rows
from fmcompress.errors import CheckpointError


def rows_of(text):
    return read_rows(enumerate(text.splitlines(), 1))


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (20_000, 2)])
def test_numbers_are_read_as_they_were_written(shape):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    text = "\n".join(" ".join(map(repr, row)) for row in values.tolist())
    found = rows_of(text.encode())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"1 2\n3", "line 2 has 1 numbers, expected 2"),
        (b"1\n2 3", "line 2 has 2 numbers, expected 1"),
        (b"1 2\n3 x", "line 2 has x, expected a finite number"),
        (b"1\nnan", "line 2 has nan, expected a finite number"),
        (b"1\n1e99", "line 2 has 1e99, expected a finite number"),
        (b"1_0\n1", "line 1 has 1_0, expected a finite number"),
        (b"1\n\xff", r"line 2 has \\xff, expected a finite number"),
        (b" \n1", "line 1 has 0 numbers, expected one at least"),
        (b"1\n" * 10_000 + b"0x1", "line 10,001 has 0x1"),
    ],
)
def test_the_line_that_is_wrong_is_named(text, message):
    with pytest.raises(CheckpointError, match=message):
        rows_of(text)


def test_lines_are_taken_one_by_one():
    lines = NumberedLines(io.BytesIO(b"head\n1\n2\ntail"))
    assert lines.take() == b"head"
    assert list(lines.as_long_as(lambda line: line.strip().isdigit())) == [(2, b"1\n"), (3, b"2\n")]
    assert (lines.number, lines.text) == (4, b"tail")
    assert (lines.take(), lines.text) == (b"tail", b"")


def test_parts_must_have_as_many_rows():
    bias, linear, embeddings = (np.ones(shape, np.float32) for shape in ((1, 1), (3, 1), (3, 2)))
    w0, w, v = checked_parts(bias, linear, embeddings)
    assert (w0, w.shape, v.shape) == (1.0, (3,), (3, 2))
    for wrong in ((bias, linear[:2], embeddings), (linear, linear, embeddings), (bias, embeddings, embeddings)):
        with pytest.raises(CheckpointError, match=r"expected \(1, 1\), \(rows, 1\) and \(rows, dim\)"):
            checked_parts(*wrong)
