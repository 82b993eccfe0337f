"""Keys of fields: to ids, to bytes and back, beside tokens; nothing that is damaged is believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmcompress.errors import UsageError
from fmcompress.fm.field_keys import FieldKeys, stored_keys
from fmcompress.fm.field_specs import parse_fields
from fmcompress.fm.field_vocabulary import FieldVocabulary
from fmcompress.fm.hashed_keys import key_order
from fmcompress.fm.vocabulary import Vocabulary, stored_ids

key_ids = st.dictionaries(st.integers(0, 2**64 - 1), st.integers(0, 300), max_size=40)
special = st.none() | st.integers(0, 300)


def of(ids, **given):
    return FieldKeys.of(np.array(list(ids), np.uint64), np.array(list(ids.values()), np.int64), **given)


def content(own):
    return own.count, own.oov, own.missing, own.keys.encode(), None if own.ids is None else own.ids.data.tobytes()


@settings(deadline=None)
@given(ids=key_ids, oov=special, missing=special, beside=st.booleans(), empty=st.booleans())
def test_keys_have_their_ids_there_and_back(ids, oov, missing, beside, empty):
    keys = np.array(list(ids), np.uint64)
    tokens = {"b": FieldVocabulary.of({"x": 3})} if beside else {}
    fields = {"a": of(ids, oov=oov, missing=missing), **tokens, **({"c": of({})} if empty else {})}
    data = Vocabulary(fields).encode()
    found = Vocabulary.decode(data)
    own = found.fields["a"]
    assert content(own) == content(fields["a"])
    assert own.find(keys).tolist() == list(ids.values())
    assert own.find(np.array([key ^ 1 for key in ids if key ^ 1 not in ids], np.uint64)).max(initial=-1) == -1
    assert found.encode() == data
    assert len(data) == found.nbytes
    assert stored_ids(data) == {
        **{name: one.extreme_ids for name, one in found.keys.items()},
        **({"b": [3]} if beside else {}),
    }
    for size in (0, 4, 12, 20, len(data) // 2, len(data) - 1):
        for read in (Vocabulary.decode, stored_ids):
            with pytest.raises(ValueError, match="vocabulary"):
                read(data[:size])


def test_ids_that_are_ranks_cost_nothing():
    keys = np.random.default_rng(0).integers(0, 2**64, 5000, dtype=np.uint64)
    ordered = keys[key_order(keys)]
    ranked, plain = FieldKeys.of(ordered, np.arange(5000)), FieldKeys.of(keys)
    assert content(ranked) == content(plain)
    assert ranked.ids is None
    other = FieldKeys.of(keys, np.arange(5000))
    figures = stored_keys({"b": plain, "a": other})
    assert [(one.field, one.keys, round(one.bits_a_key), one.false_hit) for one in figures] == [
        ("a", 5000, 31, 2**-16),
        ("b", 5000, 18, 2**-16),
    ]
    assert figures[0].id_bytes == figures[0].bytes - figures[1].bytes == 8 + (13 * 5000 + 63) // 64 * 8 + 16


def test_several_keys_may_have_one_id():
    own = of({5: 0, 6: 0, 7: 2})
    assert own.find(np.array([7, 6, 5, 4])).tolist() == [2, 0, 0, -1]
    assert own.extreme_ids == [0, 2]


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        (np.array([0, -1]), "ids are -1 to 0, expected 0 to 2147483646"),
        (np.array([0, 2**31 - 1]), "ids are 0 to 2147483647"),
        (np.array([0]), "expected one whole number for each key"),
        (np.array([0.0, 1.0]), "ids are of type float64"),
    ],
)
def test_ids_that_are_none(ids, says):
    with pytest.raises(UsageError, match=says):
        FieldKeys.of(np.array([3, 4]), ids)


def test_ids_must_be_those_of_the_field():
    schema = parse_fields("item:5,user:3")
    Vocabulary({"item": of({9: 4})}).check(schema)
    with pytest.raises(UsageError, match="field 'user' has id 4, expected 0 to 2"):
        Vocabulary({"user": of({9: 4})}).check(schema)
    with pytest.raises(UsageError, match="field 'user' has id 3"):
        Vocabulary({"user": FieldKeys.of(np.arange(4))}).check(schema)


def test_damaged_bytes_are_refused_or_harmless():
    random = np.random.default_rng(3)
    keys = random.integers(0, 2**64, 60, dtype=np.uint64)
    fields = {"a": FieldKeys.of(keys, np.arange(60), check_bits=3), "b": FieldVocabulary.of({"x": 1})}
    whole = Vocabulary(fields).encode()
    refused = 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.integers(256)
        try:
            stored_ids(bytes(data))
            found = Vocabulary.decode(bytes(data))
        except ValueError:
            refused += 1
        else:
            ids = found.fields["a"].find(keys) if "a" in found.keys else keys[:0]
            assert (ids < 64).all()
    assert refused > 200


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"{}", "keys that it says"),
        (b"[]", "keys that it says"),
        (b"[[1,null,null,56,0]]", "keys that it says"),
        (b'[["a",null,null,99999999,0]]', "keys that it says"),
        (b'[["a",null,-1,56,0]]', "keys that it says"),
        (b'[["a",null,null,true,0]]', "keys that it says"),
        (b"[" * 100_000, "keys that it says"),
        (b'[["a",null,null,40,0],["a",null,null,40,0]]', "keys that it says"),
        (b'[["a",null,null,40,9]]', "ids of its keys"),
    ],
)
def test_heads_that_cannot_be(head, says):
    empty = of({}).keys.encode()
    data = b"\xff" * 8 + len(head).to_bytes(8, "little") + head + empty * 2
    with pytest.raises(ValueError, match=says):
        Vocabulary.decode(data)


def test_a_head_is_no_larger_than_the_file():
    with pytest.raises(ValueError, match="more fields than it can"):
        Vocabulary.decode(b"\xff" * 16 + bytes(100))
