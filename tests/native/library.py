"""The native core for the tests: built by its own Makefile, and called by ctypes."""

import ctypes
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"
MESSAGE_BYTES = 512
OK, UNREADABLE, NO_ARTIFACT, WRONG_DATA, NO_MEMORY, WRONG_CALL = range(6)
SHARED, UNSEALED = 1, 2

VISIBLE = {"BUILD": "build/visible", "CFLAGS": "-O1 -fvisibility=default"}
"""Variables of a library whose inside is visible."""

SUFFIX = "dylib" if os.uname().sysname == "Darwin" else "so"

_TEXTS = ("fmc_id_name", "fmc_pooling_name", "fmc_value_name", "fmc_link", "fmc_sha256", "fmc_version", "fmc_isa")
_SIZES = ("fmc_id_count", "fmc_value_count", "fmc_dim", "fmc_resident_bytes")
_OF_A_MODEL = ("fmc_id_count", "fmc_value_count", "fmc_dim", "fmc_resident_bytes", "fmc_link", "fmc_sha256")
_OF_A_COLUMN = ("fmc_id_name", "fmc_pooling_name", "fmc_value_name", "fmc_cardinality", "fmc_pad")


class Pieces(ctypes.Structure):
    """The struct ``fmc_pieces``."""

    _fields_ = (
        ("metadata", ctypes.c_char_p),
        ("metadata_bytes", ctypes.c_size_t),
        ("bias", ctypes.c_char_p),
        ("numeric", ctypes.c_char_p),
        ("numeric_bytes", ctypes.c_size_t),
        ("values", ctypes.c_char_p),
        ("values_bytes", ctypes.c_size_t),
        ("codes", ctypes.c_char_p),
        ("codes_bytes", ctypes.c_size_t),
    )


class Bag(ctypes.Structure):
    """The struct ``fmc_bag``."""

    _fields_ = (
        ("starts", ctypes.c_void_p),
        ("ids", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    )


def compiler():
    """Return the C compiler; skip where there is none."""
    found = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if found is None or shutil.which("make") is None:
        pytest.skip("the native core is not built: no C compiler, or no make")
    return found


def made(target, **variables):
    """Return what the Makefile makes of a target, in the folder of the variable ``BUILD``; skip without a compiler."""
    variables = {"CC": compiler(), **variables}
    (NATIVE / "build").mkdir(exist_ok=True)
    with open(NATIVE / "build" / "lock", "w") as lock:  # tests in several processes build it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "-C", NATIVE, "-j2", target, *(f"{key}={text}" for key, text in variables.items())],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode and "unsupported option" in done.stderr:
        pytest.skip(f"this compiler has no sanitizers of {variables.get('SANITIZE')}")
    assert done.returncode == 0, done.stderr
    return NATIVE / target


def built(source, sanitizers, folder):
    """Return a program of this folder, linked with the library in it; both are built with sanitizers."""
    build = f"build/{sanitizers.replace(',', '-')}"
    archive = made(f"{build}/libfmcompress.a", SANITIZE=sanitizers, CFLAGS="-O1", BUILD=build)
    program = folder / "program"
    linked = subprocess.run(
        [
            *(compiler(), "-std=gnu11", "-g", "-O1", f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"),
            *(f"-I{NATIVE / 'include'}", f"-I{NATIVE / 'src'}", Path(__file__).with_name(source), archive),
            *("-o", program, "-pthread", "-lm"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if linked.returncode and "cannot find" in linked.stderr:
        pytest.skip(f"this compiler has no sanitizers of {sanitizers}")
    assert linked.returncode == 0, linked.stderr
    return program


def library():
    """Return the library, with all that is inside visible."""
    path = made(f"{VISIBLE['BUILD']}/libfmcompress.{SUFFIX}", **VISIBLE)
    found = ctypes.CDLL(os.fspath(path))
    for name in _TEXTS:
        getattr(found, name).restype = ctypes.c_char_p
    for name in _SIZES:
        getattr(found, name).restype = ctypes.c_size_t
    for name in (*_OF_A_MODEL, "fmc_close"):
        getattr(found, name).argtypes = (ctypes.c_void_p,)
    for name in _OF_A_COLUMN:
        getattr(found, name).argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    found.fmc_cardinality.restype = found.fmc_pad.restype = ctypes.c_int64
    pointer = ctypes.POINTER(ctypes.c_void_p)
    found.fmc_open.argtypes = (ctypes.c_char_p, ctypes.c_uint, pointer, ctypes.c_char_p)
    found.fmc_open_memory.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, pointer, ctypes.c_char_p)
    found.fmc_open_pieces.argtypes = (ctypes.POINTER(Pieces), pointer, ctypes.c_char_p)
    found.fmc_open_network_pieces.argtypes = (
        ctypes.POINTER(Pieces), ctypes.c_char_p, ctypes.c_size_t, pointer, ctypes.c_char_p
    )  # fmt: skip
    return found


class RefusedError(Exception):
    """A call of the library failed.

    Attributes:
        status: what it returned.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Model:
    """An open model."""

    def __init__(self, library, call, *args):
        self.library, self.handle = library, ctypes.c_void_p(1)
        message = ctypes.create_string_buffer(b"?" * (MESSAGE_BYTES - 1))
        status = call(*args, ctypes.byref(self.handle), message)
        assert (status == OK) == (self.handle.value is not None)
        if status:
            raise RefusedError(status, message.value.decode())

    @classmethod
    def open(cls, library, path, flags=0):
        """Open a file."""
        return cls(library, library.fmc_open, os.fsencode(path), flags)

    @classmethod
    def of_bytes(cls, library, data, flags=0):
        """Open the bytes of a file."""
        data = bytes(data)
        model = cls(library, library.fmc_open_memory, data, len(data), flags)
        model.kept = data
        return model

    @classmethod
    def of_pieces(cls, library, metadata, bias, values, codes, numeric=b"", network=None):
        """Open the pieces of a file."""
        kept = (metadata, bias, numeric, values, codes)
        sizes = [len(piece) for piece in kept]
        pieces = Pieces(
            metadata, sizes[0], bias, numeric or None, sizes[2], values or None, sizes[3], codes or None, sizes[4]
        )
        if network is None:
            model = cls(library, library.fmc_open_pieces, pieces)
        else:
            model = cls(library, library.fmc_open_network_pieces, pieces, network, len(network))
        model.kept = *kept[1:], network
        return model

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.fmc_close(self.handle)

    def ask(self, name, *args):
        """Return what a function of the library says of the model."""
        return getattr(self.library, name)(self.handle, *args)

    @property
    def about(self):
        """What the model says of itself."""
        ids, values = range(self.ask("fmc_id_count")), range(self.ask("fmc_value_count"))
        return {
            "ids": [self.ask("fmc_id_name", column).decode() for column in ids],
            "cardinalities": [self.ask("fmc_cardinality", column) for column in ids],
            "pads": [self.ask("fmc_pad", column) for column in ids],
            "poolings": [(self.ask("fmc_pooling_name", column) or b"").decode() for column in ids],
            "values": [self.ask("fmc_value_name", column).decode() for column in values],
            "link": self.ask("fmc_link").decode(),
            "dim": self.ask("fmc_dim"),
        }
