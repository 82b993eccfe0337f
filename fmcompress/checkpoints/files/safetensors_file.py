"""Reads and writes safetensors files: a header of JSON, then the tensors' bytes.

The library of the format checks a file. Its tensors are read and written here, because the library maps a file into
memory and copies from there, which counts twice, and writes the texts in random order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import safe_open

from fmcompress.checkpoints.random_file import RandomFile, Readable
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES, NumberType, StoredTensor
from fmcompress.checkpoints.stored_rows import Layout, read_rows
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_WRITTEN = {
    **{f"{kind}{bits}": f"{name}{bits}" for kind, name in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}
_TYPES = {
    **{code: NUMBER_TYPES[name] for code, name in _WRITTEN.items()},
    "BOOL": NUMBER_TYPES["bool"],
    "BF16": NUMBER_TYPES["bfloat16"],
    "F8_E4M3": NUMBER_TYPES["float8_e4m3fn"],
    "F8_E4M3FNUZ": NUMBER_TYPES["float8_e4m3fnuz"],
    "F8_E5M2": NUMBER_TYPES["float8_e5m2"],
    "F8_E5M2FNUZ": NUMBER_TYPES["float8_e5m2fnuz"],
}
_ALIGNMENT = 8


def is_safetensors(head: bytes, size_bytes: int) -> bool:
    """Return whether a file starts as a safetensors file does.

    Args:
        head: its first bytes, 9 or more.
        size_bytes: its size.
    """
    header_bytes = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= header_bytes <= size_bytes - 8


def write_safetensors(file: BinaryIO, tensors: Mapping[str, AnyArray], texts: Mapping[str, str]) -> None:
    """Write tensors of any shape and a dtype of the format's, and texts; the same input gives the same bytes."""
    header: dict[str, object] = {"__metadata__": dict(sorted(texts.items()))}
    codes = {np.dtype(name): code for code, name in _WRITTEN.items()}
    end = 0
    for name, values in tensors.items():
        start, end = end, end + values.nbytes
        code = codes[values.dtype]
        header[name] = {"dtype": code, "shape": list(values.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for values in tensors.values():
        file.write(np.ascontiguousarray(values).data)


@dataclass(frozen=True)
class SafeTensor(StoredTensor):
    """A tensor of an open safetensors file; see ``tensor.FileTensor``."""

    file: Readable
    start: int
    code: str
    shape: tuple[int, ...]

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats, or of a type that is not known."""
        return self.code not in _TYPES or _TYPES[self.code].is_float

    def read(self) -> AnyArray:
        """Return its values, of its shape and the dtype that the file says."""
        kind = self.kind
        with damaged("a tensor cannot be read"):
            elements = np.empty(math.prod(self.shape), kind.stored)
            self.file.read_into(self.start, elements.view(np.uint8))
            return kind.decode(elements).reshape(self.shape)

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return some of its rows, (stop - start, …) of the same dtype."""
        return read_rows(self.file.read_into, Layout.dense(self.kind, self.start, self.shape), start, stop)

    def hold(self) -> None:
        """Let rows be read after the file is closed."""
        self.file.hold()

    @property
    def kind(self) -> NumberType:
        """Type of its numbers.

        Raises:
            CheckpointError: it is one that no model has.
        """
        if self.code not in _TYPES:
            raise CheckpointError(f"it holds a tensor of type {self.code}, expected one of {', '.join(_TYPES)}")
        return _TYPES[self.code]


@dataclass(frozen=True)
class SafetensorsFile:
    """An open safetensors file.

    Attributes:
        texts: strings that stand beside the tensors.
    """

    texts: Mapping[str, str]
    _file: Readable
    _header: Mapping[str, Any]
    _data: int

    @classmethod
    def open(cls, path: Path, read_by: Readable | None = None) -> SafetensorsFile:
        """Open a safetensors file.

        Args:
            path: where it is.
            read_by: what reads it, if it shall not be open all the time.

        Raises:
            CheckpointError: it is damaged.
        """
        with damaged("the safetensors file cannot be read"):
            with safe_open(path, framework="numpy") as checked:
                texts = checked.metadata() or {}
            with path.open("rb") as file:
                header_bytes = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(header_bytes))
                return cls(texts, read_by or RandomFile(file), header, 8 + header_bytes)

    @cached_property
    def root(self) -> Mapping[str, SafeTensor]:
        """The tensors by name."""
        return {name: self._tensor(row) for name, row in self._header.items() if name != "__metadata__"}

    @property
    def most_numbers(self) -> int:
        """How many numbers its tensors can have together."""
        return sum(math.prod(tensor.shape) for tensor in self.root.values())

    def close(self) -> None:
        """Close the file; tensors can no longer be read, but for those that are held."""
        self._file.close()

    def _tensor(self, row: Mapping[str, Any]) -> SafeTensor:
        return SafeTensor(self._file, self._data + row["data_offsets"][0], row["dtype"], tuple(row["shape"]))
