"""Files made to run code, to exhaust memory or to hang: each ends at once in an error of one line."""

import builtins
import gc
import io
import os
import pickle
import struct
import threading
import time
import tracemalloc
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fmcompress.checkpoints import load_checkpoint, opcodes
from fmcompress.checkpoints.inert import checked_key
from fmcompress.checkpoints.stand_ins import CALLS
from fmcompress.checkpoints.unpickle import unpickle
from fmcompress.errors import CheckpointError

from .samples import FIELDS, write_torch_zip
from .test_torch_file import tensor_pickle

MEBIBYTE = 2**20
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


def refused(path, *, seconds=5.0, mebibytes=None, message=r""):
    """Check that a file is refused in one line, in little time and memory."""
    if mebibytes is not None:
        tracemalloc.start()
    start = time.process_time()
    with pytest.raises(CheckpointError, match=rf"^{path.name}: .*{message}") as caught:
        load_checkpoint(path, fields=FIELDS)
    assert time.process_time() - start < seconds
    if mebibytes is not None:
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MEBIBYTE
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.fixture(autouse=True)
def _no_tracing_left():
    yield
    tracemalloc.stop()


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


def test_names_are_only_names(tmp_path):
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}.")
    for name in ("../../outside", "/etc/passwd", "C:\\outside"):
        data = tensor_pickle().replace(b"X\x01\x00\x00\x000", b"X" + struct.pack("<I", len(name)) + name.encode())
        refused(write_torch_zip(path, data, [bytes(4 * 92)]), message="pickle cannot be read")
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../data.pkl", b"\x80\x02}.")
    refused(path)
    assert os.listdir(tmp_path) == ["fm.pt"]


def test_names_that_try_to_write_to_the_terminal(tmp_path):
    path = tmp_path / "fm.pt"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("fm/data.pkl", b"x", zipfile.ZIP_DEFLATED)
    refused(path, message="compressed")
    key = "\x1b[31m\nweight"
    refused(write_torch_zip(path, pickle.dumps({key: 1}, 2)), message=r"found keys .*\\x1b")
    refused(write_torch_zip(path, pickle.dumps(Calls(Escaping), 2)), message=r"asks to call .*Escaping")


class Escaping:
    """A class whose name a pickle may choose."""


def zipped(path, entries, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in entries:
            file.writestr(name, data)
    return path


def test_zip_bombs_are_not_unpacked(tmp_path):
    bomb = zipped(tmp_path / "fm.pt", [("fm/data.pkl", bytes(64 * MEBIBYTE))], zipfile.ZIP_DEFLATED)
    refused(bomb, message="compressed", mebibytes=4)
    inner = zipped(tmp_path / "inner.zip", [("0", bytes(2**20))], zipfile.ZIP_DEFLATED).read_bytes()
    refused(zipped(tmp_path / "fm.pt", [("fm/data.pkl", inner)]), mebibytes=4)


def test_two_entries_of_one_name_are_refused(tmp_path):
    path = zipped(tmp_path / "fm.pt", [("fm/data.pkl", b"\x80\x02}."), ("fm/data.pkl", b"\x80\x02N.")])
    refused(path, message="two entries")


def test_entries_in_one_place_are_refused(tmp_path):
    """All but the first say that they begin where the first one does."""
    path = zipped(
        tmp_path / "fm.pt", [("fm/data.pkl", b"N" * 3000), *((f"fm/{number:08}", b"") for number in range(9))]
    )
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\x01\x02")
    sizes = data[first + 16 : first + 28]
    at = first
    while (at := data.find(b"PK\x01\x02", at + 1)) > 0:
        data[at + 16 : at + 28] = sizes
        data[at + 42 : at + 46] = bytes(4)
    path.write_bytes(data)
    refused(path, message="lie over each other")


def test_endless_lists_of_entries_are_refused(tmp_path):
    path = tmp_path / "fm.pt"
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
    for count in (50_000, 500_000):
        names = b"".join(entry + b"%08d" % number for number in range(count))
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(names), 4, 0)
        path.write_bytes(b"PK\x03\x04" + names + end)
        refused(path, message="list of entries is too long" if count > 50_000 else "")


@pytest.mark.parametrize("field", [(12, 0xFFFFFFFF), (12, 10), (16, 0xFFFFFFFF), (16, 0)])
def test_ends_of_zip_files_that_lie(tmp_path, field):
    place, value = field
    data = bytearray(write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}.").read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + place : end + place + 4] = struct.pack("<L", value)
    (tmp_path / "fm.pt").write_bytes(data)
    refused(tmp_path / "fm.pt")


def test_tensors_that_share_all_bytes_are_refused(tmp_path):
    """A thousand tables of the same megabyte would fill a gigabyte."""
    one = tensor_pickle(elements=2**18, shape=(2**16, 4))
    start, end = one.index(b"ctorch._utils"), one.rindex(b"s.")
    tables = b"".join(
        b"X" + struct.pack("<I", len(key)) + key + one[start:end] + b"s"
        for key in (b"embedding_layer.embedding_layer.embedding_layers.%d.weight" % number for number in range(1000))
    )
    path = write_torch_zip(tmp_path / "fm.pt", b"\x80\x02}" + tables + b".", [bytes(2**20)])
    refused(path, message="again and again", mebibytes=16)


def test_long_names_of_shared_modules_do_not_multiply(tmp_path):
    """Ten thousand modules that are one, with a tensor that has a name of a megabyte."""
    whole = tensor_pickle()
    tensor = whole[whole.index(b"ctorch._utils") : whole.rindex(b"s.")]
    child = b"cm\nM\nq\x08)\x81q\x09}X\x0b\x00\x00\x00_parameters}" + LONG + tensor + b"ssb0"
    modules = b"".join(b"X\x05\x00\x00\x00%05dh\x09" % number for number in range(10_000))
    data = b"\x80\x02" + child + b"h\x08)\x81}X\x08\x00\x00\x00_modules}(" + modules + b"usb."
    refused(write_torch_zip(tmp_path / "fm.pt", data, [bytes(4 * 92)]), message="names that no module", mebibytes=32)


def test_pickles_inside_files_are_limited(tmp_path):
    path = zipped(tmp_path / "fm.pt", [("fm/data.pkl", b"N" * (2**25 + 1))])
    refused(path, message="more than it can have", mebibytes=4)


def test_plain_pickle_with_parts_outside_is_refused(tmp_path):
    stream = io.BytesIO()
    pickler = pickle.Pickler(stream, 2)
    pickler.persistent_id = lambda thing: ("storage", 1) if thing is Ellipsis else None
    (tmp_path / "fm.pkl").write_bytes(FASTFM + b")Qb.")
    refused(tmp_path / "fm.pkl", message="parts outside")


def test_characters_that_there_are_not_are_refused():
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00U1\x85R"
    with pytest.raises(ValueError, match="characters that there are not"):
        read(b"cnumpy.core.multiarray\nscalar\n" + dtype + b"C\x04\x00\x00\x11\x00\x86R.")
