"""Pickles made to run code, to exhaust memory or to hang: each ends at once in an error of one line."""

import builtins
import gc
import os
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fmcompress.checkpoints.pickle import opcodes
from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.stubs import checked_key
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.errors import CheckpointError
from tests.checkpoints.limits import MEBIBYTE, refused
from tests.checkpoints.samples import write_torch_zip

pytestmark = pytest.mark.slow

FASTFM = b"\x80\x04\x8c\nfastFM.als\x8c\x0cFMRegression\x93)\x81"
"""The start of a plain pickle that is read as a model of fastFM."""


class Calls:
    """Pickles as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def read(data):
    return unpickle(data, calls=CALLS, persistent=lambda identifier: None)


def both_ways(folder, data, **limits):
    """Check that a pickle is refused, alone and in a torch file."""
    refused(write_torch_zip(folder / "fm.pt", data), **limits)
    (folder / "fm.pkl").write_bytes(FASTFM + data.removeprefix(b"\x80\x02").removesuffix(b".") + b"b.")
    refused(folder / "fm.pkl", **limits)


@pytest.mark.parametrize("protocol", range(6))
def test_no_call_is_made(tmp_path, protocol):
    marker = tmp_path / "marker"
    data = pickle.dumps({"weight": Calls(os.system, f"touch {marker}")}, protocol)
    pickle.loads(data)
    assert marker.exists(), "the attack works where it is not guarded against"
    marker.unlink()
    both_ways(tmp_path, data, message=r"asks to call (posix|nt)\.system, which is refused; nothing was run")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (eval, ("1+1",)),
        (exec, ("1+1",)),
        (builtins.__import__, ("os",)),
        (print, ("hello",)),
        (open, ("/etc/passwd",)),
        (bytearray, (2**40,)),
        (np.zeros, (2**40,)),
        (np.load, ("file",)),
    ],
)
def test_the_call_is_named(function, args):
    with pytest.raises(CheckpointError, match=rf"asks to call [a-z._]+\.{function.__name__}, which is refused"):
        read(pickle.dumps(Calls(function, *args), 2))


@pytest.mark.parametrize("owner", [b"cos\n", b"crecbole.utils.enum_type\n", b"c__builtin__\n"])
def test_attributes_are_not_looked_up(owner):
    with pytest.raises(CheckpointError, match=r"asks to call builtins\.getattr, which is refused"):
        read(b"\x80\x02c__builtin__\ngetattr\n" + owner + b"path\nX\x06\x00\x00\x00system\x86R.")


@pytest.mark.parametrize(
    "data",
    [
        # A stand-in is given a state, called by way of another, or built like a class.
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__Nsb.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00__defaults__)s\x86b.",
        b"\x80\x02ccollections\nOrderedDict\n}X\x05\x00\x00\x00clearNsb.",
        b"\x80\x02cos\nsystem\nccollections\nOrderedDict\n)R.R.",
        b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85\x81R.",
        b"\x80\x02X\x02\x00\x00\x00os)R.",
        # Operations that are never needed.
        b"(S'echo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo'\no.",
        b"P0\n.",
        b"\x80\x02N2.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02\x83\x01\x00.",
        b"\x80\x02\x84\x01\x00\x00\x00.",
        b"\x80\x02\x8b\x01\x00\x00\x00\x01.",
        b"\x80\x05\x97.",
        b"\x80\x05N\x98.",
        # Keys that cannot be hashed.
        b"\x80\x02}]Ns.",
        b"\x80\x02}}Ns.",
        # Cut short, an empty stack, a memo that is empty.
        b"",
        b"\x80\x02",
        b"\x80\x02\x8a",
        b"\x80\x02h\x00.",
        b"\x80\x02Nq\x05h\x03.",
        b"Nq\x01g-1\n.",
        b"Np-1\n.",
        b"\x80\x02t.",
        b"\x80\x02R.",
        b"\x80\x02.",
        b"\x80\x020.",
        b"\x80\x021.",
        b"\x80\x02\x93.",
        b"\x80\x02NN\x93.",
        b"\x80\x02Q.",
        b"\x80\x02NQ.",
        b"\x80\x02c\xff\n\xff\n.",
        # Text that is none.
        b"I1",
        b"I1x\n.",
        b"Fx\n.",
        b"Sx\n.",
        b"S'\\q'\n.",
        b"S'\\'\n.",
        b"V\\uzzzz\n.",
        b"\x80\x02X\x01\x00\x00\x00\xff.",
    ],
)
def test_tricks_and_damage_are_refused(tmp_path, data):
    both_ways(tmp_path, data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02\x8e" + b"\xff" * 8 + b"abc.",
        b"\x80\x02\x8d" + struct.pack("<Q", 2**40) + b"abc.",
        b"\x80\x02\x96" + struct.pack("<Q", 2**62) + b"abc.",
        b"\x80\x02B\xff\xff\xff\x7fabc.",
        b"\x80\x02X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\x7fabc.",
        b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
        b"Np99999999999999999999\n.",
        b"I" + b"9" * 100_000 + b"\n.",
        b"L" + b"9" * 1_000_000 + b"L\n.",
        b"F" + b"9" * 1_000_000 + b"\n.",
        b"c" + b"a" * 1_000_000 + b"\nb\n.",
    ],
)
def test_huge_sizes_are_refused_before_they_are_taken(tmp_path, data):
    both_ways(tmp_path, data, seconds=1, mebibytes=8)


@pytest.mark.parametrize("shape", [(2**40,), (2**62 - 1,) * 32, (2**31, 2**31), (0, 2**61), (-1,), (3,) * 40])
@pytest.mark.parametrize("kind", ["f8", "U999999", "b1"])
def test_arrays_that_lie_are_refused(tmp_path, shape, kind):
    dtype = b"cnumpy\ndtype\n" + pickle.dumps((kind, False, True), 2)[2:-1] + b"R"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
    state = pickle.dumps(shape, 2)[2:-1]
    both_ways(tmp_path, b"\x80\x02" + array + b"(K\x01" + state + dtype + b"\x89C\x08abcdefght" + b"b.")


NESTED = 20_000
STACK_BYTES = 2**19
"""So small that nested values of a short file overflow it, as those of a long one overflow the usual stack."""
TUPLES = b")" + b"\x85" * NESTED


@pytest.mark.parametrize(
    "data",
    [
        TUPLES,
        b"]" * NESTED + b"a" * (NESTED - 1),
        b"(" * NESTED,
        b"}X\x01\x00\x00\x00a" * NESTED + b"N" + b"s" * NESTED,
        b"cos\nsystem\nq\x00)\x81" + b"h\x00)\x81" * NESTED + b"b" * NESTED,
        b"cos\nsystem\nq\x000)" + b"\x85h\x00)\x81\x86" * (NESTED // 4),
        # As a key, as an argument, as a state, and as the name of a tensor's bytes.
        b"}" + TUPLES + b"Ns",
        b"\x8f(" + TUPLES + b"\x90",
        b"(" + TUPLES + b"\x91",
        b"cnumpy\ndtype\n" + TUPLES + b"\x85R",
        b"cnumpy\ndtype\nX\x02\x00\x00\x00f8\x85R" + TUPLES + b"b",
        b"cnumpy.core.multiarray\n_reconstruct\n" + TUPLES + b"\x85R",
        b"ccollections\nOrderedDict\n" + TUPLES + b"\x85R",
        b"c_codecs\nencode\nX\x01\x00\x00\x00a" + TUPLES + b"\x86R",
        b"(X\x07\x00\x00\x00storage" + TUPLES + b"NNNtQ",
        TUPLES + b"Q",
    ],
)
def test_deep_nesting_does_no_harm(tmp_path, data):
    """Python hashes, compares and prints nested tuples by recursion without a limit."""
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02" + data + b".")
    before = threading.stack_size(STACK_BYTES)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(refused, path).result()
        pool.submit(gc.collect).result()
    threading.stack_size(before)


def doubling(levels):
    """Return a list that has a list twice that has a list twice that …: few bytes, 2 ** levels items."""
    return b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (level, level, level + 1) for level in range(levels))


@pytest.mark.parametrize(
    "use",
    [
        b"%b",
        b"}%bNs",
        b"cbuiltins\nset\n%b\x85R",
        b"ccollections\nOrderedDict\n%b\x85R",
        b"}X\x06\x00\x00\x00config%bs",
        b"}X\x0a\x00\x00\x00state_dict%bs",
        b"cos\nsystem\n)\x81%bb",
        b"cos\nsystem\n)\x81}X\x08\x00\x00\x00_modules%bsb",
    ],
)
def test_doubling_lists_are_not_walked(tmp_path, use):
    both_ways(tmp_path, b"\x80\x02" + use.replace(b"%b", doubling(200)) + b".", seconds=1, mebibytes=4)


LONG = b"X" + struct.pack("<I", MEBIBYTE) + b"a" * MEBIBYTE
MANY = b"](" + b"N" * 10_000 + b"e"
PAIRS = b"](" + b"".join(b"K%bN\x86" % bytes([number % 256]) for number in range(10_000)) + b"e"


@pytest.mark.parametrize(
    ("function", "argument", "more"),
    [
        (b"c_codecs\nencode\n", LONG, b"X\x06\x00\x00\x00latin1\x86"),
        (b"cbuiltins\nset\n", MANY, b"\x85"),
        (b"cbuiltins\nfrozenset\n", MANY, b"\x85"),
        (b"ccollections\nOrderedDict\n", PAIRS, b"\x85"),
        (b"ccollections\ndefaultdict\n", b"(" + b"N" * 10_000 + b"t", b""),
        (b"ctorch\ndevice\n", b"(" + MANY[1:-1] + b"t", b""),
    ],
)
def test_calls_on_one_long_value_again_and_again_are_refused(tmp_path, function, argument, more):
    body = b"\x80\x02]" + function + b"q\x00" + argument + more + b"q\x01R"
    both_ways(tmp_path, body + b"h\x00h\x01R" * 10_000 + b".", mebibytes=32)


def test_long_names_again_and_again_are_refused(tmp_path):
    data = b"\x80\x02]" + LONG + b"q\x00q\x01" + b"h\x00h\x01\x93" * 10_000 + b"."
    both_ways(tmp_path, data, message="longer than any", mebibytes=16)


def test_arrays_of_the_same_bytes_take_no_memory_of_their_own(tmp_path):
    dtype = b"cnumpy\ndtype\n" + pickle.dumps((">f8", False, True), 2)[2:-1].replace(b">f8", b"f8") + b"R"
    order = b"(K\x03X\x01\x00\x00\x00>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    new = b"cnumpy.core.multiarray\n_reconstruct\nq\x00(cnumpy\nndarray\nK\x00\x85C\x01btq\x01R"
    state = b"(K\x01J" + struct.pack("<i", MEBIBYTE // 8) + b"\x85" + dtype + order + b"\x89"
    first = new + state + b"B" + struct.pack("<I", MEBIBYTE) + bytes(MEBIBYTE) + b"tq\x02b"
    both_ways(tmp_path, b"\x80\x02(" + first + b"h\x00h\x01Rh\x02b" * 10_000 + b"l.", mebibytes=16)


@pytest.mark.parametrize("operation", [b"\x8f", b"}", b"]", b"(", b"N\x94", b")\x94", b"N\x85", b"}NNs", b"\x8f(Ne"])
def test_memory_of_a_pickle_is_bounded(tmp_path, monkeypatch, operation):
    """Whatever one byte makes takes some hundred bytes; and there is a limit to the number of operations."""
    monkeypatch.setattr(opcodes, "MAX_OPERATIONS", 50_000)
    data = b"\x80\x02" + operation * 50_000
    refused(write_torch_zip(tmp_path / "fm.pt", data), mebibytes=50_000 * 300 / MEBIBYTE)


@pytest.mark.parametrize(
    "key",
    [
        2**61,
        -(2**61 - 1),
        (1, 2**32),
        (1.5, 2),
        tuple("abcde"),
        ((),),
        frozenset(),
        [],
    ],
)
def test_keys_that_can_be_made_to_collide_are_refused(key):
    """Half a million keys of one hash would take hours."""
    with pytest.raises(TypeError, match="no plain value"):
        checked_key(key)


def test_plain_pickle_with_parts_outside_is_refused(tmp_path):
    (tmp_path / "fm.pkl").write_bytes(FASTFM + b")Qb.")
    refused(tmp_path / "fm.pkl", message="parts outside")


def test_characters_that_there_are_not_are_refused():
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00U1\x85R"
    with pytest.raises(ValueError, match="characters that there are not"):
        read(b"cnumpy.core.multiarray\nscalar\n" + dtype + b"C\x04\x00\x00\x11\x00\x86R.")
