"""Reads a ``.npz`` of numpy: a zip file with an array in each entry, stored or deflated.

An array is a header, a line of text such as ``{'descr': '<f4', 'fortran_order': False, 'shape': (23, 4), }``, and the
bytes of its numbers. numpy is not asked, because it reads the header as an expression of Python, and makes room for as
many numbers as the header says.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fmcompress.checkpoints.files.stored_zip import StoredZip
from fmcompress.checkpoints.random_file import Readable
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.checkpoints.stored_numbers import NumberType, StoredTensor, native
from fmcompress.checkpoints.stored_rows import Layout, read_rows
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_SUFFIX = ".npy"
_MAGIC = b"\x93NUMPY"
_LENGTHS = {1: "<H", 2: "<I", 3: "<I"}
_MAX_HEADER_BYTES = 2**14
_TYPE = re.compile(r"'descr': *'([<>|=]?(?:b1|[iu][1248]|f[248]))'")
_ORDER = re.compile(r"'fortran_order': *(True|False)")
_SHAPE = re.compile(r"'shape': *\(((?:\d{1,18}L?,? *){0,32})\)")
_EXPANSION = 64
_ALWAYS_FINE_BYTES = 2**24
"""Deflated entries may have these bytes together, beside that many times the size of the file."""


def is_npz(names: Collection[str]) -> bool:
    """Return whether a zip file whose entries have these names is numpy's."""
    return bool(names) and all(name.endswith(_SUFFIX) for name in names)


@dataclass(frozen=True)
class _NpzArray(StoredTensor):
    """An array of an open file; see ``tensor.FileTensor``."""

    zip: StoredZip
    entry: str
    dtype: str
    shape: tuple[int, ...]
    fortran: bool
    start: int

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""
        return np.dtype(self.dtype).kind == "f"

    @cached_property
    def _bytes(self) -> Readable:
        """The bytes of the entry; those of a compressed one in a temporary file."""
        return self.zip.entry(self.entry) if self.zip.is_stored(self.entry) else self.zip.inflate(self.entry)

    def read(self) -> AnyArray:
        """Return its values, of its shape and dtype."""
        data = self.zip.read_deflated(self.entry)[self.start :]
        values = native(data.view(self.dtype))
        return np.asarray(values.reshape(self.shape, order="F" if self.fortran else "C"), order="C")

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype."""
        layout = Layout.dense(
            NumberType(self.dtype, native, self.is_float), self.start, self.shape, fortran=self.fortran
        )
        return read_rows(self._bytes.read_into, layout, start, stop)

    def hold(self) -> None:
        """Let rows be read after the file is closed."""
        self._bytes.hold()


@dataclass(frozen=True)
class NpzFile:
    """An open file of arrays, each of which is read when it is wanted."""

    _zip: StoredZip

    @classmethod
    def of(cls, opened: StoredZip) -> NpzFile:
        """Return the file of arrays that a zip file is.

        Raises:
            CheckpointError: its entries have far more bytes than the file.
        """
        most = _EXPANSION * opened.size_bytes + _ALWAYS_FINE_BYTES
        size = sum(map(opened.entry_size, opened.names))
        if size > most:
            raise CheckpointError(
                f"its arrays of {size:,} bytes are in a file of {opened.size_bytes:,}",
                hint="the file is damaged, or made to do harm; save it with numpy.savez",
            )
        return cls(opened)

    @cached_property
    def root(self) -> Mapping[str, object]:
        """The arrays by name, without ``.npy``.

        Raises:
            CheckpointError: one is damaged, or of no plain numbers.
        """
        return {name.removesuffix(_SUFFIX): self._array(name) for name in self._zip.names}

    @property
    def most_numbers(self) -> int:
        """How many numbers its arrays can have together."""
        return sum(map(self._zip.entry_size, self._zip.names))

    @property
    def texts(self) -> Mapping[str, str]:
        """The strings beside its arrays: none."""
        return {}

    def close(self) -> None:
        """Close the file; arrays can no longer be read."""
        self._zip.close()

    def _array(self, entry: str) -> _NpzArray:
        with damaged(f"its array {quoted(entry)} cannot be read"):
            head = self._zip.first_bytes(entry, _MAX_HEADER_BYTES)
            layout = _LENGTHS.get(head[6] if head.startswith(_MAGIC) else 0)
            if layout is None:
                raise ValueError("it does not start as an array does")
            start = 8 + struct.calcsize(layout)
            (length,) = struct.unpack(layout, head[8:start])
            text = head[start : start + length].decode("latin1")
            kind, order, shape = (pattern.search(text) for pattern in (_TYPE, _ORDER, _SHAPE))
        if kind is None or order is None or shape is None or len(text) != length:
            raise CheckpointError(
                f"its array {quoted(entry)} holds no plain numbers, but {_described(text)}",
                hint="save arrays of numbers: numpy.savez(path, v=…, w=…, b=…)",
            )
        sizes = tuple(int(size) for size in re.findall(r"\d+", shape[1]))
        start += length
        expected = math.prod(sizes) * np.dtype(kind[1]).itemsize
        if len(sizes) > 32 or self._zip.entry_size(entry) != start + expected:
            raise CheckpointError(
                f"its array {quoted(entry)} has {self._zip.entry_size(entry) - start:,} bytes, expected {expected:,}",
                hint="the file is damaged or was cut short: copy or save it again",
            )
        return _NpzArray(self._zip, entry, kind[1], sizes, order[1] == "True", start)


def _described(text: str) -> str:
    kind = re.search(r"'descr': *([^,}]{0,40})", text)
    return f"type {quoted(kind[1].strip(chr(39)))}" if kind else "a header that no array has"
