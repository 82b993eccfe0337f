"""Stand-ins for what rebuilds numpy's arrays and numbers, and torch's tensors, from a pickle.

Each takes the arguments of the real function and checks all of them. Those of numpy and torch are not called, because
they trust the sizes, the types and the bytes that they are given.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fmcompress.checkpoints.pickle.stubs import Buildable, Name, Unique
from fmcompress.checkpoints.pickle.unpickle import Call
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray, UInt8Array

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


@dataclass(eq=False)
class NumpyArray(Buildable):
    """numpy.ndarray: empty until it is built from (version, shape, dtype, is it Fortran order, bytes).

    Attributes:
        values: its values, of any shape and dtype, not to be written to; maybe in foreign byte order.
    """

    values: AnyArray = field(default_factory=lambda: np.empty(0))

    def build(self, state: object) -> None:
        """Take the array's state."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array has no state")
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # Python 2 made no difference between bytes and text
            data = data.encode("latin1")
        self.values = _view(data, dtype, shape, fortran=fortran is True)


def _view(data: object, dtype: object, shape: object, *, fortran: bool = False) -> AnyArray:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise TypeError("a numpy array has no type or no bytes")
    sizes = checked_sizes(shape)
    if math.prod(sizes) * dtype.dtype.itemsize != len(data):
        raise ValueError("a numpy array has more values than bytes")
    values = np.frombuffer(data, dtype.dtype)
    if dtype.dtype.kind == "U" and values.view(dtype.dtype.byteorder + "u4").max(initial=0) > sys.maxunicode:
        raise ValueError("a text of numpy has characters that there are not")
    return values.reshape(sizes, order="F" if fortran else "C")


def _reconstruct(args: tuple[object, ...]) -> NumpyArray:
    if args[0] != Name("numpy.ndarray"):
        raise TypeError("a numpy array is of a class of its own")
    return NumpyArray()


def _frombuffer(args: tuple[object, ...]) -> NumpyArray:
    """Stand for how protocol 5 has arrays: (bytes, dtype, shape, order)."""
    data, dtype, shape, order = args
    return NumpyArray(_view(data, dtype, shape, fortran=order == "F"))


def _scalar(args: tuple[object, ...]) -> object:
    dtype, data = args
    if isinstance(data, str):
        data = data.encode("latin1")
    return _view(data, dtype, ()).item()


@dataclass(frozen=True)
class StorageType:
    """How the elements of a torch storage are stored.

    Attributes:
        stored: numpy type of the bytes, little-endian.
        decode: from stored elements, of that dtype, to numbers of the same shape.
    """

    stored: str
    decode: Callable[[AnyArray], AnyArray] = lambda elements: elements


def _native(values: AnyArray) -> AnyArray:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _from_bfloat16(elements: AnyArray) -> AnyArray:
    return (elements.astype(np.uint32) << 16).view(np.float32)


STORAGE_TYPES = {
    "torch.FloatStorage": StorageType("<f4"),
    "torch.DoubleStorage": StorageType("<f8"),
    "torch.HalfStorage": StorageType("<f2"),
    "torch.BFloat16Storage": StorageType("<u2", _from_bfloat16),
    "torch.LongStorage": StorageType("<i8"),
    "torch.IntStorage": StorageType("<i4"),
    "torch.ShortStorage": StorageType("<i2"),
    "torch.CharStorage": StorageType("|i1"),
    "torch.ByteStorage": StorageType("|u1"),
    "torch.BoolStorage": StorageType("|b1"),
}


@dataclass(frozen=True)
class Storage:
    """The bytes behind one or more tensors of a torch file.

    Attributes:
        kind: type of its elements.
        elements: how many there are; checked against the file.
        read_bytes: reads them, uint8 (bytes,).
    """

    kind: StorageType
    elements: int
    read_bytes: Callable[[], UInt8Array]


@dataclass(frozen=True, eq=False)
class StridedTensor(Unique):
    """A view of a storage; see ``tensor.FileTensor``."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> AnyArray:
        """Return its values in memory of their own, of its shape and its storage's dtype."""
        kind = self.storage.kind
        elements = self.storage.read_bytes().view(kind.stored)[self.offset :]
        with damaged("a tensor cannot be read"):
            strides = tuple(stride * elements.itemsize for stride in self.strides)
            view = np.lib.stride_tricks.as_strided(elements, self.shape, strides)
            return kind.decode(_native(np.ascontiguousarray(view))).reshape(self.shape)


def _rebuild_tensor(args: tuple[object, ...]) -> StridedTensor:
    storage, offset, shape, strides = args[:4]
    if not isinstance(storage, Storage):
        raise TypeError("a tensor has no storage")
    sizes, steps = checked_sizes(shape), checked_sizes(strides)
    (start,) = checked_sizes((offset,))
    if len(sizes) != len(steps):
        raise ValueError("a tensor has more dimensions than strides")
    used = math.prod(sizes)
    end = start + 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    # Expanded tensors (stride 0) could describe terabytes in a few bytes; parameters are never stored so.
    if used > storage.elements or (used and end > storage.elements) or (not used and start > storage.elements):
        raise ValueError("a tensor reaches beyond its storage")
    return StridedTensor(storage, start, sizes, steps)


def _rebuild_parameter(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], StridedTensor):
        raise TypeError("a parameter has no tensor")
    return args[0]


CALLS: dict[str, Call] = {
    "numpy.dtype": _Dtype,
    **{
        f"numpy.{package}.{name}": stand_in
        for package in ("core", "_core")  # of numpy 1 and 2
        for name, stand_in in {
            "multiarray._reconstruct": _reconstruct,
            "multiarray.scalar": _scalar,
            "numeric._frombuffer": _frombuffer,
        }.items()
    },
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": lambda args: checked_sizes(args[0]),
}
"""Stand-ins by the dotted name of what they stand for."""
