"""Whatever a file holds, what is said of it is one line."""

import json
import struct
import zipfile

import pytest

from fmcompress.checkpoints.reading_errors import damaged, listed, quoted
from fmcompress.errors import CheckpointError


@pytest.mark.parametrize(
    "error",
    [ValueError("a\nb\x1b"), zipfile.BadZipFile("a b"), json.JSONDecodeError("a b", "", 0), struct.error("a b")],
)
def test_damage_becomes_one_line(error):
    with pytest.raises(CheckpointError, match=r"^it cannot be read \(a b") as caught, damaged("it cannot be read"):
        raise error
    assert str(caught.value).isprintable()
    assert "damaged" in caught.value.hint


def test_errors_without_text_are_named_and_others_pass():
    with pytest.raises(CheckpointError, match=r"^it ends \(EOFError\)$"), damaged("it ends"):
        raise EOFError
    for error in (CheckpointError("it says so itself"), MemoryError(), AssertionError("a bug of ours")):
        with pytest.raises(type(error)) as caught, damaged("it cannot be read"):
            raise error
        assert caught.value is error


def test_text_of_a_file_is_quoted_where_it_is_not_plain():
    assert quoted("emb.weight") == "emb.weight"
    assert quoted(b"emb.weight") == "emb.weight"
    assert quoted("two words") == "'two words'"
    assert quoted("\x1b[31m\n") == r"'\x1b[31m\n'"
    assert quoted(b"\xff") == r"\xff"
    assert len(quoted("x" * 1000)) == 80


def test_the_first_keys_are_listed():
    assert listed(["a"]) == "'a'"
    assert listed(["a", "b c", "\n", "d", "e"]) == r"'a', 'b c', '\n' and 2 more"
