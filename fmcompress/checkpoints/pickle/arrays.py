"""Stand-ins for what rebuilds numpy's arrays and numbers, and torch's tensors, from a pickle.

Each takes the arguments of the real function and checks all of them. Those of numpy and torch are not called, because
they trust the sizes, the types and the bytes that they are given.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fmcompress.checkpoints.pickle.stubs import Buildable, Inline, Name, Unique
from fmcompress.checkpoints.pickle.unpickle import JOBLIB_ARRAY, Call
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES, NumberType, StoredTensor, native
from fmcompress.checkpoints.stored_rows import Layout, check_rows, read_rows
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
class NumpyArray(Buildable, StoredTensor):
    """numpy.ndarray: empty until it is built from (version, shape, dtype, is it Fortran order, bytes).

    Attributes:
        values: its values, of any shape and dtype, not to be written to; maybe in foreign byte order.
    """

    values: AnyArray = field(default_factory=lambda: np.empty(0))

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.values.shape

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""
        return self.values.dtype.kind == "f"

    def read(self) -> AnyArray:
        """Return its values in memory of their own, of its shape and dtype."""
        return np.array(native(self.values), order="C")

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype."""
        check_rows(self.shape, start, stop)
        return np.array(native(self.values[start:stop]), order="C")

    def hold(self) -> None:
        """Do nothing: its values are in memory."""

    def build(self, state: object) -> None:
        """Take the array's state."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("a numpy array has no state")
        _, shape, dtype, fortran, data = state
        if isinstance(data, str):  # Python 2 made no difference between bytes and text
            data = data.encode("latin1")
        self.values = _view(data, dtype, shape, fortran=fortran is True)


class _InlineArray(NumpyArray, Inline):
    """joblib's NumpyArrayWrapper: its bytes stand behind the operation that builds it, not in one."""

    def __init__(self) -> None:
        super().__init__()
        self._layout: tuple[_Dtype, tuple[int, ...], bool, bool] | None = None

    def build(self, state: object) -> None:
        """Take shape, dtype, order, and whether the bytes are aligned."""
        if not isinstance(state, dict) or self._layout is not None:
            raise ValueError("an array of joblib has no state, or two")
        dtype, aligned = state.get("dtype"), state.get("numpy_array_alignment_bytes")
        if not isinstance(dtype, _Dtype) or state.get("order") not in ("C", "F"):
            raise TypeError("an array of joblib has no type or no order")
        if state.get("subclass") not in (Name("numpy.ndarray"), Name("numpy.memmap")):
            raise TypeError("an array of joblib is of a class of its own")
        self._layout = dtype, checked_sizes(state.get("shape")), state["order"] == "F", aligned is not None

    def read_from(self, take: Callable[[int], bytes]) -> None:
        """Take the values.

        Args:
            take: returns so many next bytes of the pickle, or raises ValueError where it has fewer.
        """
        if self._layout is None:
            raise ValueError("an array of joblib has no state")
        dtype, shape, fortran, aligned = self._layout
        if aligned:
            take(take(1)[0])
        self.values = _view(take(math.prod(shape) * dtype.dtype.itemsize), dtype, shape, fortran=fortran)


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


UNTYPED = "torch.storage.UntypedStorage"
"""A storage of bytes, whose tensors say the type of their numbers."""

STORAGE_TYPES = {
    f"torch.{name}Storage": NUMBER_TYPES[kind]
    for name, kind in {
        "Float": "float32",
        "Double": "float64",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }.items()
} | {UNTYPED: NUMBER_TYPES["uint8"]}


class StoredPart(Protocol):
    """Bytes of an open file."""

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place of these bytes on."""

    def hold(self) -> None:
        """Let it be read after its file is closed."""


@dataclass(frozen=True)
class Storage:
    """The bytes behind one or more tensors of a torch file.

    Attributes:
        kind: type of its elements; bytes of a storage without a type.
        elements: how many there are; checked against the file.
        read_bytes: reads them, uint8 (bytes,).
        part: opens them, so that parts can be read without the rest.
    """

    kind: NumberType
    elements: int
    read_bytes: Callable[[], UInt8Array]
    part: Callable[[], StoredPart]


@dataclass(frozen=True, eq=False)
class StridedTensor(Unique, StoredTensor):
    """A view of a storage; see ``tensor.FileTensor``."""

    storage: Storage
    kind: NumberType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""
        return self.kind.is_float

    def read(self) -> AnyArray:
        """Return its values in memory of their own, of its shape and the dtype that the file says."""
        elements = self.storage.read_bytes().view(self.kind.stored)[self.offset :]
        with damaged("a tensor cannot be read"):
            strides = tuple(stride * elements.itemsize for stride in self.strides)
            view = np.lib.stride_tricks.as_strided(elements, self.shape, strides)
            return self.kind.decode(np.ascontiguousarray(view)).reshape(self.shape)

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype."""
        first = self.offset * np.dtype(self.kind.stored).itemsize
        layout = Layout(self.kind, first, self.shape, self.strides)
        return read_rows(self.storage.part().read_into, layout, start, stop)

    def hold(self) -> None:
        """Let rows be read after the file is closed."""
        self.storage.part().hold()


def _rebuild_tensor(args: tuple[object, ...]) -> StridedTensor:
    storage = args[0]
    if not isinstance(storage, Storage):
        raise TypeError("a tensor has no storage")
    return _strided(storage, storage.kind, storage.elements, args[1:4])


def _rebuild_typed_tensor(args: tuple[object, ...]) -> StridedTensor:
    """Stand for how torch has tensors of newer types: the type of the numbers is an argument of its own."""
    storage, named = args[0], args[6]
    if not isinstance(storage, Storage) or storage.kind is not STORAGE_TYPES[UNTYPED] or not isinstance(named, Name):
        raise TypeError("a tensor has no storage or no type")
    kind = NUMBER_TYPES.get(named.dotted.removeprefix("torch."))
    if kind is None:
        raise CheckpointError(f"it holds tensors of type {quoted(named.dotted)}, expected plain numbers")
    return _strided(storage, kind, storage.elements // np.dtype(kind.stored).itemsize, args[1:4])


def _strided(storage: Storage, kind: NumberType, elements: int, place: tuple[object, ...]) -> StridedTensor:
    offset, shape, strides = place
    sizes, steps = checked_sizes(shape), checked_sizes(strides)
    (start,) = checked_sizes((offset,))
    if len(sizes) != len(steps):
        raise ValueError("a tensor has more dimensions than strides")
    used = math.prod(sizes)
    end = start + 1 + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
    # Expanded tensors (stride 0) could describe terabytes in a few bytes; parameters are never stored so.
    if used > elements or (used and end > elements) or (not used and start > elements):
        raise ValueError("a tensor reaches beyond its storage")
    return StridedTensor(storage, kind, start, sizes, steps)


def _rebuild_parameter(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], StridedTensor):
        raise TypeError("a parameter has no tensor")
    return args[0]


CALLS: dict[str, Call] = {
    "numpy.dtype": _Dtype,
    JOBLIB_ARRAY: lambda _: _InlineArray(),
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
    "torch._utils._rebuild_tensor_v3": _rebuild_typed_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": lambda args: checked_sizes(args[0]),
}
"""Stand-ins by the dotted name of what they stand for."""
