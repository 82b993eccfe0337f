"""Vocabularies as bytes: there and back, compact, and nothing that is damaged is believed."""

import json
import lzma
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.errors import UsageError
from fmcompress.fm.field_vocabulary import FieldVocabulary, _filters, largest_ids
from fmcompress.fm.vocabulary import Vocabulary

tokens = st.text(max_size=8) | st.sampled_from(["\ud800", "\udc80a", "", "\n", "🛒" * 300, "x" * 70_000])
numbers = st.integers(0, 40) | st.integers(0, 2**31 - 2)
special = st.none() | numbers
field_vocabularies = st.builds(
    lambda ids, oov, missing: FieldVocabulary.of(ids, oov=oov, missing=missing),
    st.dictionaries(tokens, numbers, max_size=8), special, special,
)  # fmt: skip


def content(vocabulary):
    return {name: (dict(own.known), own.oov, own.missing) for name, own in vocabulary.fields.items()}


@settings(deadline=None)
@given(fields=st.dictionaries(st.text(max_size=5), field_vocabularies, max_size=3))
def test_decode_is_the_inverse_of_encode(fields):
    vocabulary = Vocabulary(fields)
    data = vocabulary.encode()
    found = Vocabulary.decode(data)
    assert content(found) == content(vocabulary)
    assert all(own.ids.dtype == np.int32 for own in found.fields.values())
    largest = {name: own.extreme_ids[1 if len(own.ids) else 0 :] for name, own in fields.items()}
    assert largest_ids(data) == largest
    for size in (0, 8, len(data) // 2, len(data) - 1):
        for read in (Vocabulary.decode, largest_ids):
            with pytest.raises(ValueError, match="vocabulary"):
                read(data[:size])


def test_the_order_of_fields_and_tokens_makes_no_difference():
    one = Vocabulary({"a": FieldVocabulary.of({"x": 1, "y": 0, "z": 1}), "b": FieldVocabulary.of({"x": 3})})
    other = Vocabulary({"b": FieldVocabulary.of({"x": 3}), "a": FieldVocabulary.of({"z": 1, "x": 1, "y": 0})})
    assert one.encode() == other.encode()


def in_order(tokens):
    return FieldVocabulary.of({token: number for number, token in enumerate(tokens)})


@pytest.mark.parametrize(
    ("own", "most"),
    [
        (in_order(map(str, range(20_000))), 0.3),
        (in_order(f"user_{number:012d}" for number in range(20_000)), 0.3),
        (in_order(f"u{number}" for number in np.random.default_rng(0).permutation(10**5)), 3.1),
        (in_order(f"{number:016x}" for number in np.random.default_rng(0).integers(0, 2**63, 10**4)), 8.5),
    ],
    ids=["counted", "prefix", "shuffled", "hashes"],
)
def test_tokens_take_little_more_than_what_they_say(own, most):
    assert len(Vocabulary({"a": own}).encode()) < most * len(own.tokens)


def test_tokens_that_nobody_would_believe_are_refused(monkeypatch):
    monkeypatch.setattr("fmcompress.fm.field_vocabulary._SMALL_BYTES", 1000)
    with pytest.raises(UsageError, match="too much alike"):
        Vocabulary({"a": FieldVocabulary.of({"x" * 10**6: 0})}).encode()


def crafted(head, columns=b"", *, size=None, more=b""):
    """Return bytes whose head and columns are these."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    unpacked = len(text).to_bytes(4, "little") + text + columns
    stream = lzma.compress(unpacked, format=lzma.FORMAT_RAW, filters=_filters())
    return (len(unpacked) if size is None else size).to_bytes(8, "little") + stream + more


LINE = ["a", None, 1, 2, 1, 1, 3]
COLUMNS = b"\0\1" + b"\1\2" + b"xyz"
DAMAGED = {
    "nothing": b"",
    "no stream": b"\0" * 8,
    "another stream": (100).to_bytes(8, "little") + b"\xff" * 50,
    "bytes behind": crafted([LINE], COLUMNS, more=b"\0"),
    "a smaller size": crafted([LINE], COLUMNS, size=20),
    "a larger size": crafted([LINE], COLUMNS, size=2000),
    "a huge size": crafted([LINE], COLUMNS, size=2**62),
    "a size beyond what packs": crafted([LINE], COLUMNS, size=2**26 + 1),
    "columns too short": crafted([LINE], COLUMNS[:-1]),
    "columns too long": crafted([LINE], COLUMNS + b"x"),
    "no UTF-8": crafted([LINE], COLUMNS[:-1] + b"\xff"),
    "half a letter at the end": crafted([LINE], COLUMNS[:-1] + b"\xc3"),
    "lengths of another text": crafted([LINE], b"\0\1\1\1xyz"),
    "an id beyond all": crafted([["a", None, None, 1, 4, 1, 1]], b"\xff\xff\xff\xff\1x"),
    "ids that add up beyond all": crafted([["a", None, None, 2, 4, 1, 1]], b"\xff\xff\xff\x7f" * 2 + b"\0\1x"),
    "empty tokens": crafted([["a", None, None, 9, 1, 1, 1]], b"\0" * 17 + b"\1x"),
    "a field twice": crafted([LINE, LINE], COLUMNS * 2),
    "a head that is no JSON": crafted(b"[[", COLUMNS),
    "a head of nothing": crafted(b"", COLUMNS),
    "a head that is no list": crafted({"a": 1}, COLUMNS),
    "a head of numbers": crafted([1], COLUMNS),
    "a deep head": crafted(b"[" * 100_000, COLUMNS),
    "a huge head": (2**24 + 4).to_bytes(8, "little") + crafted(b" " * 2**24)[8:],
    "a line too short": crafted([LINE[:-1]], COLUMNS),
    "a line too long": crafted([[*LINE, 0]], COLUMNS),
    "a name that is none": crafted([[1, *LINE[1:]]], COLUMNS),
    "an odd width": crafted([["a", None, None, 1, 3, 1, 1]], b"\0\0\0\1x"),
    "a width of nothing": crafted([["a", None, None, 1, 0, 1, 1]], b"\1x"),
    "a negative number": crafted([["a", None, -1, *LINE[3:]]], COLUMNS),
    "a fraction": crafted([["a", 0.5, 1, *LINE[3:]]], COLUMNS),
    "sizes that cancel": crafted([LINE, ["b", None, None, 0, 1, 1, -3]], COLUMNS[:-3]),
    "huge numbers": crafted([["a", None, None, 10**30, 1, 1, 10**30]], COLUMNS),
}  # fmt: skip


def test_what_the_damaged_ones_are_made_of_is_sound():
    found = Vocabulary.decode(crafted([LINE], COLUMNS))
    assert content(found) == {"a": ({"x": 0, "yz": 1}, None, 1)}
    assert largest_ids(crafted([LINE], COLUMNS)) == {"a": [1, 1]}


@pytest.mark.parametrize("read", [Vocabulary.decode, largest_ids])
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_bytes_are_refused(name, read):
    tracemalloc.start()
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the messages differ, and are one line each
        read(DAMAGED[name])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert peak < 20_000_000


def test_checking_takes_little_memory_however_much_is_packed():
    letters = 40_000_000
    bomb = crafted([["a", None, None, 1, 1, 4, letters]], b"\0" + letters.to_bytes(4, "little") + b"x" * letters)
    assert len(bomb) < 50_000
    tracemalloc.start()
    assert largest_ids(bomb) == {"a": [0]}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_000_000
