"""What pickles of every protocol become; what they must not do is in ``test_hostile_pickles``."""

import collections
import fractions
import pickle
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.opcodes import MAX_OPERATIONS
from fmcompress.checkpoints.pickle.stubs import Name, Stub
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.errors import CheckpointError

PROTOCOLS = range(6)
STATE = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aNsb."


def read(data, **given):
    return unpickle(data, calls=CALLS, persistent=lambda identifier: identifier, **given)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, -3, 2**40, None, True, False, "größe", b"bytes"], ("x", 1): {"y": ()}},
        list(range(300)),
        OrderedDict(b=(1, (2, (3, (4, 5)))), a={1, 2}),
        {"set": set(), "frozen": frozenset("ab"), "long": "x" * 70_000, "negative": -(2**70)},
        ["two\nlines", "back\\slash", "\\u0041", "\U0001f600", "it's", b"", b"\x00\xff\n", -0.0, 1e300],
        [[], {}, (), [[]], ({},), 255, 256, -1, 65536],
    ],
)
def test_plain_values_are_read(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_surrogates_are_read():
    assert read(pickle.dumps("\ud800", 2)) == "\ud800"


def test_values_that_contain_themselves_are_read():
    endless = []
    endless.append((endless,))
    for protocol in PROTOCOLS:
        found = read(pickle.dumps(endless, protocol))
        assert found[0][0] is found


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"(dp0\nS'a'\np1\nI1\nsS'b'\nL5L\ns.", {"a": 1, "b": 5}),
        (b"(lp0\nF1.5\naI01\naI00\na.", [1.5, True, False]),
        (b"S'it\\'s \\x00\\xff\\n\\\\'\n.", "it's \x00\xff\n\\"),
        (b'S"a"\n.', "a"),
        (b"U\x02\xc3\xa9.", "\xc3\xa9"),
        (b"T\x01\x00\x00\x00a.", "a"),
    ],
)
def test_python_2_is_read(data, value):
    assert read(data) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype="<i8").reshape(2, 3),
        np.arange(3, dtype=">f4"),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros(0, np.int32),
        np.zeros((0, 4)),
        np.array([True, False]),
        np.array(["größe", "a"]),
        np.array(["\U0001f600", ""], ">U2"),
    ],
)
def test_numpy_arrays_are_rebuilt(array, protocol):
    np.testing.assert_array_equal(read(pickle.dumps(array, protocol)).values, array, strict=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_numpy_are_plain_ones(protocol):
    for value in (np.int64(-5), np.float32(0.5), np.bool_(True), np.str_("a")):
        assert read(pickle.dumps(value, protocol)) == value.item()


def test_array_of_python_2_is_rebuilt():
    dtype = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I1\ntc"
    whole = array[:-1] + dtype + b"I00\nS'\\x00\\x00\\x00\\x00\\x00\\x00\\xf8?'\ntb."
    np.testing.assert_array_equal(read(whole).values, [1.5])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_objects_become_stubs_with_their_attributes(protocol):
    stub = read(pickle.dumps(Model(), protocol))
    assert isinstance(stub, Stub)
    assert stub.class_name == f"{Model.__module__}.Model"
    assert stub.attributes == {"size": 3}


class Model:
    def __init__(self):
        self.size = 3

    def __setstate__(self, state):
        raise AssertionError("code of the class has run")


def test_dict_with_a_default_is_a_dict():
    assert read(pickle.dumps(defaultdict(list, a=[1]), 4)) == {"a": [1]}


def test_classes_are_names():
    assert read(pickle.dumps(collections.Counter, 4)) == Name("collections.Counter")


def test_call_without_a_stand_in_is_named():
    with pytest.raises(CheckpointError, match=r"asks to call fractions\.Fraction, which is refused; nothing was run"):
        read(pickle.dumps(fractions.Fraction(1, 3), 4))


def test_state_given_to_a_stand_in_does_not_change_it():
    before = dict(vars(CALLS["torch._utils._rebuild_tensor_v2"]))
    with pytest.raises(TypeError):
        read(STATE)
    assert vars(CALLS["torch._utils._rebuild_tensor_v2"]) == before


def test_endless_pickle_is_refused():
    with pytest.raises(ValueError, match="operations"):
        read(b"\x80\x02" + b"N" * (MAX_OPERATIONS + 1))


class Dataset:
    def __init__(self):
        self.first = {"inside": ["a", "b"]}
        self.until = fractions.Fraction(1, 3)


def test_reading_ends_before_an_attribute():
    data = pickle.dumps(Dataset(), 4)
    with pytest.raises(CheckpointError, match="Fraction"):
        read(data)
    found = read(data[: data.index(b"fractions")], until="until")
    assert found.attributes == {"first": {"inside": ["a", "b"]}}
