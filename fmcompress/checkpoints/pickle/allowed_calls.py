"""Stand-ins for the functions that pickles of models call: to rebuild torch's tensors, and plain values.

Each row of ``CALLS`` takes the arguments of the real function and checks all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.pickle import arrays
from fmcompress.checkpoints.pickle.arrays import checked_sizes
from fmcompress.checkpoints.pickle.stubs import Name, Stub, Unique, checked_key
from fmcompress.checkpoints.pickle.unpickle import Call, refusal
from fmcompress.checkpoints.reading_errors import damaged

_ENCODING = "latin1"


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


@dataclass(frozen=True, eq=False)
class StridedTensor(Unique):
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


def _encode(args: tuple[object, ...]) -> bytes:
    text, encoding = args
    if not isinstance(text, str) or encoding != _ENCODING:
        raise ValueError("bytes are encoded in a way that they never are")
    return text.encode(_ENCODING)


def _no_bytes(args: tuple[object, ...]) -> bytes:
    if args:  # bytes(2**40) would take a terabyte
        raise ValueError("bytes are made in a way that they never are")
    return b""


def _set(args: tuple[object, ...]) -> set[object]:
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
    return checked_sizes(args[0])


def _reconstructor(args: tuple[object, ...]) -> object:
    if not isinstance(args[0], Name):
        raise TypeError("an object has no class")
    return Stub(args[0].dotted, args[1:])


def _default_dict(args: tuple[object, ...]) -> object:
    if len(args) > 1 or not all(isinstance(arg, Name) for arg in args):
        raise TypeError("a dict is made of something that is no name of a default")
    return {}


def _bound_method(args: tuple[object, ...]) -> object:
    """Stand for a method of an object, as an optimizer's loss: nothing is looked up, nothing can be called."""
    owner, name = args
    if not isinstance(name, str):
        raise refusal("builtins.getattr")
    if isinstance(owner, Name) and owner.dotted in _ENUMS:  # how Python 3.11.0 to 3.11.3 have members of an Enum
        return Stub(owner.dotted, (name,))
    if not isinstance(owner, Stub):
        raise refusal("builtins.getattr")
    return Stub("builtins.getattr", args)


_ENUMS = tuple(
    f"recbole.utils.enum_type.{name}"
    for name in ("ModelType", "InputType", "EvaluatorType", "FeatureType", "FeatureSource")
)
_INERT = ("torch.device", "logging.getLogger", *_ENUMS)
"""Calls whose results nobody looks into: each becomes a stub that keeps its arguments."""


def _inert(dotted: str) -> Call:
    return lambda args: Stub(dotted, args)


CALLS: dict[str, Call] = {
    **arrays.CALLS,
    **{dotted: _inert(dotted) for dotted in _INERT},
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _size,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "builtins.getattr": _bound_method,
    "builtins.bytes": _no_bytes,  # how protocol 2 spells b""
    "builtins.set": _set,
    "builtins.frozenset": lambda args: frozenset(_set(args)),
    "copyreg._reconstructor": _reconstructor,
    "copyreg.__newobj__": _reconstructor,
}
"""Stand-ins by the dotted name of what they stand for; everything else that a pickle calls is refused."""
