"""The native core, ``libfmcompress``, which the build puts beside this module where there is a C compiler.

``native/include/fmcompress.h`` says what its functions do. ``FMCOMPRESS_NATIVE=0`` in the environment leaves it alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SWITCH = "FMCOMPRESS_NATIVE"
ABI = 1
OK, NO_ARTIFACT, NO_MEMORY = 0, 2, 4

_NAME = "libfmcompress.dylib" if sys.platform == "darwin" else "libfmcompress.so"
_POINTER, _SIZE = ctypes.c_void_p, ctypes.c_size_t
_PREDICT = (_POINTER, _POINTER, _POINTER, _SIZE, ctypes.c_uint, _POINTER, _POINTER)
_PREDICT_BAGS = (_POINTER, _POINTER, _POINTER, _POINTER, _SIZE, ctypes.c_uint, _POINTER, _POINTER)


class Pieces(ctypes.Structure):
    """The struct ``fmc_pieces``: an artifact in memory."""

    _fields_ = (
        ("metadata", ctypes.c_char_p),
        ("metadata_bytes", _SIZE),
        ("bias", _POINTER),
        ("numeric", _POINTER),
        ("numeric_bytes", _SIZE),
        ("values", _POINTER),
        ("values_bytes", _SIZE),
        ("codes", _POINTER),
        ("codes_bytes", _SIZE),
    )


class Unpacked(ctypes.Structure):
    """The struct ``fmc_unpacked``: where the parts of a compact file belong."""

    _fields_ = (
        ("values", _POINTER),
        ("values_bytes", _SIZE),
        ("codes", _POINTER),
        ("codes_bytes", _SIZE),
        ("network", _POINTER),
        ("network_bytes", _SIZE),
    )


class NativeBag(ctypes.Structure):
    """The struct ``fmc_bag``: the values of a field in some rows."""

    _fields_ = (("starts", _POINTER), ("ids", _POINTER), ("weights", _POINTER), ("count", _SIZE))


@dataclass(frozen=True)
class NativeStatus:
    """Whether rows are scored by the native core.

    Attributes:
        path: where it is looked for.
        reason: why it is not used, in one line; None where it is.
        version: of the core; None where there is none that can be used.
        isa: the instructions that it uses on this machine: ``portable``, ``avx2``, ``avx512`` or ``neon``.
    """

    path: Path
    reason: str | None
    version: str | None = None
    isa: str | None = None


def status() -> NativeStatus:
    """Return whether rows are scored by the native core, by which one, or why not."""
    path = library_path()
    library = native_library()
    if isinstance(library, str):
        return NativeStatus(path, library)
    return NativeStatus(path, None, library.fmc_version().decode(), library.fmc_isa().decode())


def library_path() -> Path:
    """Return where the build puts the native core."""
    return Path(__file__).with_name(_NAME)


def native_library() -> ctypes.CDLL | str:
    """Return the native core, or why it is not used."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 leaves it out"
    return _opened(library_path())


@cache
def _opened(path: Path) -> ctypes.CDLL | str:
    if not path.exists():
        return (
            "it has not been built: there was no C compiler when fmcompress was installed, or it is for another system"
        )
    try:
        library = ctypes.CDLL(os.fspath(path))
        found = library.fmc_abi()
        with_bags = library.fmc_predict_bags_i64, library.fmc_predict_bags_i32
        open_pieces = library.fmc_open_network_pieces
    except (OSError, AttributeError) as error:
        return f"it cannot be loaded: {' '.join(str(error).split())}"
    if found != ABI:
        return f"it has ABI {found}, expected {ABI}: it belongs to another version of fmcompress"
    library.fmc_version.restype = library.fmc_isa.restype = ctypes.c_char_p
    open_pieces.argtypes = (ctypes.POINTER(Pieces), _POINTER, _SIZE, ctypes.POINTER(_POINTER), ctypes.c_char_p)
    if hasattr(library, "fmc_unpack_compact"):  # younger than the rest of this ABI
        library.fmc_unpack_compact.argtypes = (_POINTER, _SIZE, ctypes.POINTER(Unpacked), ctypes.c_char_p)
    library.fmc_close.argtypes = (_POINTER,)
    library.fmc_predict_i64.argtypes = library.fmc_predict_i32.argtypes = _PREDICT
    for predict in with_bags:
        predict.argtypes = _PREDICT_BAGS
    return library
