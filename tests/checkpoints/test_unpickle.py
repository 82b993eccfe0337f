"""Pickles that want more than to be read: nothing of them runs, and none takes memory or time."""

import builtins
import os
import pickle
import struct
from collections import OrderedDict

import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.checkpoints.opcodes import MAX_OPERATIONS
from fmcompress.checkpoints.stand_ins import CALLS
from fmcompress.checkpoints.unpickle import Stub, unpickle
from fmcompress.errors import CheckpointError

from .samples import write_torch_zip


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def read(data):
    return unpickle(data, calls=CALLS, persistent=lambda identifier: None)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_no_call_is_made(tmp_path, protocol):
    marker = tmp_path / "marker"
    data = pickle.dumps({"weight": Calls(os.system, f"touch {marker}")}, protocol)
    pickle.loads(data)
    assert marker.exists(), "the attack works where it is not guarded against"
    marker.unlink()
    path = write_torch_zip(tmp_path / "fm.pt", data)
    with pytest.raises(CheckpointError, match=r"^fm\.pt: it(s pickle| asks to call (posix|nt)\.system)"):
        load_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (eval, ("1+1",)),
        (exec, ("1+1",)),
        (getattr, (os, "system")),
        (builtins.__import__, ("os",)),
        (print, ("hello",)),
        (open, ("/etc/passwd",)),
        (bytearray, (2**40,)),
    ],
)
def test_the_call_is_named(function, args):
    data = pickle.dumps(Calls(function, *args), 2) if function is not getattr else getattr_pickle()
    with pytest.raises(CheckpointError, match=f"asks to call (builtins|io)\\.{function.__name__}, which is refused"):
        read(data)


def getattr_pickle():
    return b"\x80\x02c__builtin__\ngetattr\ncos\npath\nX\x06\x00\x00\x00systemq\x00\x86R."


@pytest.mark.parametrize(
    "data",
    [
        # A stand-in is given a state, called by way of another, or built like a class.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__Nsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x05\x00\x00\x00clearNsb.",
        b"\x80\x02cos\nsystem\nccollections\nOrderedDict\n)R.R.",
        b"\x80\x02X\x02\x00\x00\x00os)R.",
        # Old and foreign operations.
        b"(S'echo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo'\no.",
        b"\x80\x02\x82\x01.",
        b"\x80\x05\x97.",
        b"I" + b"9" * 100_000 + b"\n.",
        # Keys that hash by deep recursion, or not at all.
        b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
        b"\x80\x02}]Ns.",
        # Cut short, or an empty stack.
        b"",
        b"\x80\x02",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"\x80\x02\x8a",
        b"\x80\x02h\x00.",
        b"\x80\x02t.",
        b"\x80\x02R.",
        b"\x80\x02.",
        b"\x80\x02\x93.",
        b"\x80\x02NN\x93.",
        b"\x80\x02Q.",
        b"\x80\x02NQ.",
        b"\x80\x02c\xff\n\xff\n.",
    ],
)
def test_tricks_and_damage_are_checkpoint_errors(tmp_path, data):
    path = write_torch_zip(tmp_path / "fm.pt", data)
    with pytest.raises(CheckpointError, match=r"^fm\.pt: ") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_state_given_to_a_stand_in_does_not_change_it():
    before = dict(vars(CALLS["torch._utils._rebuild_tensor_v2"]))
    with pytest.raises(TypeError):
        read(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aNsb.")
    assert vars(CALLS["torch._utils._rebuild_tensor_v2"]) == before


def test_memo_bomb_is_harmless():
    assert read(b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".") is None


def test_endless_pickle_is_refused():
    with pytest.raises(ValueError, match="operations"):
        read(b"\x80\x02" + b"N" * (MAX_OPERATIONS + 1))


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, 2.5, -3, 2**40, None, True, False, "größe", b"bytes"], ("x", 1): {"y": ()}},
        list(range(300)),
        OrderedDict(b=(1, (2, (3, (4, 5)))), a={1, 2}),
        {"set": set(), "long": "x" * 70_000, "negative": -(2**70)},
    ],
)
def test_plain_values_are_read(value, protocol):
    assert read(pickle.dumps(value, protocol)) == value


def test_objects_become_stubs_with_their_attributes():
    class_name = f"{Model.__module__}.Model"
    stub = read(pickle.dumps(Model(), 2))
    assert isinstance(stub, Stub)
    assert stub.class_name == class_name
    assert stub.attributes == {"size": 3}


class Model:
    def __init__(self):
        self.size = 3

    def __setstate__(self, state):
        raise AssertionError("code of the class has run")
