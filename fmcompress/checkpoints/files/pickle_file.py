"""A plain pickle, as ``pickle.dump`` writes it, and the weights in the object that it describes."""

import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from fmcompress.checkpoints.files.tensor import as_float32
from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.arrays import NumpyArray
from fmcompress.checkpoints.pickle.opcodes import operations
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError
from fmcompress.types import Float32Array

_STARTS = (b"\x80", b"ccopy_reg\n", b"ccopyreg\n")
"""How a pickle starts: with its protocol, or, of an object and before protocol 2, with a call for an empty object."""

_FIRST_BYTES = 4096
_MAX_WHOLE_NUMBER = 2**53


class PickleFile:
    """A file that may be a plain pickle; it is read when its object is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def class_name(self) -> str:
        """The dotted name of the first class that it names, which is that of its object; empty where there is none."""
        if self.path.is_dir():
            return ""
        with self.path.open("rb") as file:
            first = file.read(_FIRST_BYTES)
        if not first.startswith(_STARTS):
            return ""
        try:
            return next((name for name in _names(first) if not name.startswith(("copy_reg.", "copyreg."))), "")
        except (ValueError, KeyError):  # the first bytes end in the middle, or it is no pickle
            return ""

    def read(self, until: str | None = None) -> Stub:
        """Return its object.

        Args:
            until: an attribute of it before which reading ends.

        Raises:
            CheckpointError: it is damaged, asks to run something, or is no object of a class.
        """
        with self.path.open("rb") as file, damaged("the pickle cannot be read"):
            root = unpickle(file, calls=CALLS, persistent=_nothing_outside, until=until)
        if not isinstance(root, Stub):
            raise CheckpointError("it is a pickle of plain values, expected an object of a class")
        return root


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
