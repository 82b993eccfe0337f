"""A pickle, as ``pickle.dump`` and ``joblib.dump`` write it, and the weights in the object that it describes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from fmcompress.checkpoints.files.packed_file import first_bytes, is_packed, unpack
from fmcompress.checkpoints.files.tensor import as_float32
from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.arrays import NumpyArray
from fmcompress.checkpoints.pickle.opcodes import operations
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError
from fmcompress.types import Float32Array

_STARTS = (b"\x80", b"ccopy_reg\n", b"ccopyreg\n", b"(dp", b"(lp", b"}q", b"]q")
"""How a pickle starts: with its protocol, or, before protocol 2, with a call for an empty object, a dict or a list."""

_CONTAINERS = (
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "MARK"),
    *("collections.OrderedDict", "collections.defaultdict", "joblib.numpy_pickle.NumpyArrayWrapper"),
    *(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core")),
)
"""Operations and names with which the pickle of a dict, a list or an array starts."""

_EXPANSION = 64
_ALWAYS_FINE_BYTES = 2**24
"""What is compressed may be that many times the size of the file, and these bytes."""

_MAX_NUMBERS_PER_BYTE = 4

_FIRST_BYTES = 4096
_MAX_WHOLE_NUMBER = 2**53


class PickleFile:
    """A file that may be a plain pickle or one of joblib's, compressed or not; its object is read when it is wanted."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def start(self) -> bytes:
        """Its first bytes, unpacked; none of a directory, or of what is no pickle."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
        if is_packed(first):
            first = first_bytes(self.path, first, _FIRST_BYTES)
        return first if first.startswith(_STARTS) else b""

    @cached_property
    def class_name(self) -> str:
        """The dotted name of the first class that it names, which is that of its object; empty where there is none."""
        try:
            return next((name for name in _names(self.start) if not name.startswith(("copy_reg.", "copyreg."))), "")
        except (ValueError, KeyError):  # the first bytes end in the middle, or it is no pickle
            return ""

    @cached_property
    def is_container(self) -> bool:
        """Whether its object is a dict, a list or a tuple, or an array."""
        try:
            found = operations(io.BytesIO(self.start))
            name, argument = next(each for each in found if each[0] not in ("PROTO", "FRAME"))
            texts = [argument]
            while name in {"CONSTANT", "MEMOIZE"}:  # a class is named by two texts
                name, argument = next(found)
                texts.append(argument)
        except (ValueError, KeyError, StopIteration):
            return False
        dotted = ".".join(argument) if name == "GLOBAL" and isinstance(argument, tuple) else ""
        if name == "STACK_GLOBAL":
            dotted = ".".join(text for text in texts if isinstance(text, str))
        return name in _CONTAINERS or dotted in _CONTAINERS

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the pickle, once it is unpacked."""
        with closing(self._open()) as file:
            return file.seek(0, io.SEEK_END)

    def read(self, until: str | None = None) -> object:
        """Return its object, of plain values, arrays and stubs.

        Args:
            until: an attribute of it before which reading ends.

        Raises:
            CheckpointError: it is damaged, or asks to run something.
        """
        with closing(self._open()) as file, damaged("the pickle cannot be read"):
            return unpickle(file, calls=CALLS, persistent=_nothing_outside, until=until)

    def read_object(self, until: str | None = None) -> Stub:
        """Return its object, which is one of a class.

        Args:
            until: an attribute of it before which reading ends.

        Raises:
            CheckpointError: it is damaged, asks to run something, or is no object of a class.
        """
        root = self.read(until)
        if not isinstance(root, Stub):
            raise CheckpointError("it is a pickle of plain values, expected an object of a class")
        return root

    def _open(self) -> BinaryIO:
        with self.path.open("rb") as file:
            head = file.read(_FIRST_BYTES)
        if is_packed(head):
            return unpack(self.path, head, expansion=_EXPANSION, always_fine_bytes=_ALWAYS_FINE_BYTES)
        return self.path.open("rb")


@dataclass(frozen=True)
class ObjectFile:
    """The object of a pickle as a file of tensors: arrays in dicts, lists and attributes.

    Attributes:
        root: the object.
        most_numbers: how many numbers its arrays can have together, unless they are the same ones again and again.
    """

    root: object
    most_numbers: int

    @classmethod
    def of(cls, pickle: PickleFile) -> ObjectFile:
        """Read a pickle.

        Raises:
            CheckpointError: it is damaged, or asks to run something.
        """
        return cls(pickle.read(), _MAX_NUMBERS_PER_BYTE * pickle.size_bytes)

    @property
    def texts(self) -> Mapping[str, str]:
        """The strings beside its arrays: none that mean anything."""
        return {}

    def close(self) -> None:
        """Do nothing: the file is closed."""


def float32_array(name: str, value: object, dimensions: int, *, transposed: bool = False) -> Float32Array:
    """Return weights of a pickled model as float32, of a shape of so many dimensions, transposed if asked for.

    Raises:
        CheckpointError: they are no array of floats, or have another number of dimensions.
    """
    if not isinstance(value, NumpyArray) or value.values.dtype.kind != "f" or value.values.ndim != dimensions:
        raise CheckpointError(f"{name} is missing or no array of floats with {dimensions} dimensions")
    return as_float32(value.values.T if transposed else value.values)


def number(name: str, value: object) -> float:
    """Return a single weight of a pickled model.

    Raises:
        CheckpointError: it is none.
    """
    if isinstance(value, NumpyArray) and value.values.size == 1 and value.values.dtype.kind == "f":
        return float(value.values.item())
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < _MAX_WHOLE_NUMBER):
        return float(value)
    raise CheckpointError(f"{name} is missing or no number")


def _nothing_outside(_: tuple[object, ...]) -> object:
    raise ValueError("it has parts outside of it")


def _names(first: bytes) -> Iterator[str]:
    texts: list[object] = []
    for name, argument in operations(io.BytesIO(first)):
        if name == "GLOBAL" and isinstance(argument, tuple):
            yield ".".join(argument)
        elif name == "STACK_GLOBAL" and len(texts) > 1:
            yield f"{texts[-2]}.{texts[-1]}"
        elif name == "CONSTANT":
            texts.append(argument)
