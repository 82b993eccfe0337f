"""Stand-ins for the functions that torch and numpy call to rebuild tensors and arrays from a pickle.

Each row of ``CALLS`` takes the arguments of the real function and checks all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.damage import damaged, quoted
from fmcompress.checkpoints.unpickle import Buildable, Call, Name, Stub, checked_key
from fmcompress.errors import CheckpointError

_ENCODING = "latin1"
_NUMPY_TYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


@dataclass(frozen=True)
class StorageType:
    """How the elements of a torch storage are stored.

    Attributes:
        stored: numpy type of the bytes, little-endian.
        decode: from stored elements to numbers.
    """

    stored: str
    decode: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] = lambda elements: elements


def _native(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _from_bfloat16(elements: npt.NDArray[Any]) -> npt.NDArray[Any]:
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
        read_bytes: reads them.
    """

    kind: StorageType
    elements: int
    read_bytes: Callable[[], npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class StridedTensor:
    """A view of a storage; see ``tensor.Tensor``."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> npt.NDArray[Any]:
        """Return its values, in memory of their own."""
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
    sizes, steps = _counts(shape), _counts(strides)
    (start,) = _counts((offset,))
    if len(sizes) != len(steps):
        raise ValueError("a tensor has more dimensions than strides")
    used = math.prod(sizes)
    end = start + 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    # Expanded tensors (stride 0) could describe terabytes in a few bytes; parameters are never stored so.
    if used > storage.elements or (used and end > storage.elements) or (not used and start > storage.elements):
        raise ValueError("a tensor reaches beyond its storage")
    return StridedTensor(storage, start, sizes, steps)


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or len(values) > 32:
        raise TypeError("the shape of a tensor is no short tuple")
    if not all(type(value) is int and 0 <= value < 2**62 for value in values):
        raise ValueError("the shape of a tensor has numbers that it cannot have")
    return values


def _rebuild_parameter(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], StridedTensor):
        raise TypeError("a parameter has no tensor")
    return args[0]


def _encode(args: tuple[object, ...]) -> bytes:
    text, encoding = args
    if not isinstance(text, str) or encoding != _ENCODING:
        raise ValueError("bytes are encoded in a way that they never are")
    return text.encode(_ENCODING)


def _no_bytes(args: tuple[object, ...]) -> bytes:
    if args:  # bytes(2**40) would take a terabyte
        raise ValueError("bytes are made in a way that they never are")
    return b""


class _Dtype(Buildable):
    """numpy.dtype: its code, and its byte order once it is built."""

    def __init__(self, args: tuple[object, ...]) -> None:
        code = args[0]
        if code not in _NUMPY_TYPES:
            kind = quoted(code) if isinstance(code, str) else "unknown"
            raise CheckpointError(f"it holds a numpy array of type {kind}, expected plain numbers")
        self.dtype: np.dtype[Any] = np.dtype(str(code))

    def build(self, state: object) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise ValueError("a numpy type has no byte order")
        self.dtype = self.dtype.newbyteorder(order)


class NumpyArray(Buildable):
    """numpy.ndarray: empty until it is built from (version, shape, dtype, is it Fortran order, bytes)."""

    def __init__(self) -> None:
        self.values: npt.NDArray[Any] = np.empty(0)

    def build(self, state: object) -> None:
        """Take the array's state."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array has no state")
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise TypeError("a numpy array has no type or no bytes")
        sizes = _counts(shape)
        if math.prod(sizes) * dtype.dtype.itemsize != len(data):
            raise ValueError("a numpy array has more values than bytes")
        values = np.frombuffer(bytearray(data), dtype.dtype) if data else np.empty(0, dtype.dtype)
        self.values = _native(values).reshape(sizes, order="F" if fortran is True else "C")


def _reconstruct(args: tuple[object, ...]) -> NumpyArray:
    if args[0] != Name("numpy.ndarray"):
        raise TypeError("a numpy array is of a class of its own")
    return NumpyArray()


def _scalar(args: tuple[object, ...]) -> object:
    dtype, data = args
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or len(data) != dtype.dtype.itemsize:
        raise TypeError("a number of numpy has no type or no bytes")
    return np.frombuffer(data, dtype.dtype)[0].item()


def _set(args: tuple[object, ...]) -> object:
    (items,) = args
    if not isinstance(items, list | tuple):
        raise TypeError("a set is made of something that is no list")
    return {checked_key(item) for item in items}


def _ordered_dict(args: tuple[object, ...]) -> object:
    pairs = args[0] if args else []
    if not isinstance(pairs, list) or not all(isinstance(pair, list | tuple) for pair in pairs):
        raise TypeError("a dict is made of something that is no list of pairs")
    return {checked_key(key): value for key, value in pairs}


def _size(args: tuple[object, ...]) -> object:
    return _counts(args[0])


def _reconstructor(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], Name):
        raise TypeError("an object has no class")
    return Stub(args[0].dotted, args[1:])


CALLS: dict[str, Call] = {
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _size,
    "torch.device": lambda args: Stub("torch.device", args),
    "numpy.dtype": _Dtype,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered_dict,
    "builtins.bytes": _no_bytes,  # how protocol 2 spells b""
    "builtins.set": _set,
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _reconstructor,
}
"""Stand-ins by the dotted name of what they stand for; everything else that a pickle calls is refused."""
