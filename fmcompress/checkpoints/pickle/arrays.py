"""Stand-ins for what numpy calls to rebuild arrays and numbers from a pickle.

Each takes the arguments of the real function and checks all of them.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.pickle.stubs import Buildable, Name
from fmcompress.checkpoints.pickle.unpickle import Call
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError

_TYPES = re.compile(r"b1|[iu][1248]|f[248]|U[1-9]\d{0,5}")
_MAX_DIMENSIONS = 32
_MAX_SIZE = 2**62


def checked_sizes(values: object) -> tuple[int, ...]:
    """Return sizes, offsets or strides that an array can have.

    Raises:
        TypeError, ValueError: they are none.
    """
    if not isinstance(values, tuple) or len(values) > _MAX_DIMENSIONS:
        raise TypeError("the shape of a tensor is no short tuple")
    if not all(type(value) is int and 0 <= value < _MAX_SIZE for value in values):
        raise ValueError("the shape of a tensor has numbers that it cannot have")
    return values


class _Dtype(Buildable):
    """numpy.dtype: its code, and its byte order once it is built."""

    def __init__(self, args: tuple[object, ...]) -> None:
        code = args[0]
        if not isinstance(code, str) or not _TYPES.fullmatch(code):
            kind = quoted(code) if isinstance(code, str) else "unknown"
            raise CheckpointError(f"it holds a numpy array of type {kind}, expected plain numbers or text")
        self.dtype: np.dtype[Any] = np.dtype(code)

    def build(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise ValueError("a numpy type has no byte order")
        self.dtype = self.dtype.newbyteorder(order)


class NumpyArray(Buildable):
    """numpy.ndarray: empty until it is built from (version, shape, dtype, is it Fortran order, bytes).

    Attributes:
        values: its values, not to be written to; maybe in foreign byte order.
    """

    def __init__(self) -> None:
        self.values: npt.NDArray[Any] = np.empty(0)

    def build(self, state: object) -> None:
        """Take the array's state."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array has no state")
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # Python 2 made no difference between bytes and text
            data = data.encode("latin1")
        self.values = _view(data, dtype, shape, "F" if fortran is True else "C")


def _view(data: object, dtype: object, shape: object, order: str) -> npt.NDArray[Any]:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise TypeError("a numpy array has no type or no bytes")
    sizes = checked_sizes(shape)
    if math.prod(sizes) * dtype.dtype.itemsize != len(data):
        raise ValueError("a numpy array has more values than bytes")
    values = np.frombuffer(data, dtype.dtype)
    if dtype.dtype.kind == "U" and values.view(dtype.dtype.byteorder + "u4").max(initial=0) > sys.maxunicode:
        raise ValueError("a text of numpy has characters that there are not")
    return values.reshape(sizes, order="F" if order == "F" else "C")


def _reconstruct(args: tuple[object, ...]) -> NumpyArray:
    if args[0] != Name("numpy.ndarray"):
        raise TypeError("a numpy array is of a class of its own")
    return NumpyArray()


def _frombuffer(args: tuple[object, ...]) -> NumpyArray:
    """Stand for how protocol 5 has arrays: (bytes, dtype, shape, order)."""
    data, dtype, shape, order = args
    array = NumpyArray()
    array.values = _view(data, dtype, shape, "F" if order == "F" else "C")
    return array


def _scalar(args: tuple[object, ...]) -> object:
    dtype, data = args
    if isinstance(data, str):
        data = data.encode("latin1")
    return _view(data, dtype, (), "C").item()


_NUMPY_1 = "numpy.core."
_NUMPY_2 = "numpy._core."

CALLS: dict[str, Call] = {
    "numpy.dtype": _Dtype,
    **{
        f"{package}{name}": stand_in
        for package in (_NUMPY_1, _NUMPY_2)
        for name, stand_in in {
            "multiarray._reconstruct": _reconstruct,
            "multiarray.scalar": _scalar,
            "numeric._frombuffer": _frombuffer,
        }.items()
    },
}
"""Stand-ins by the dotted name of what they stand for."""
