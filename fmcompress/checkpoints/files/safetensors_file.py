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

from fmcompress.checkpoints.files.tensor import Weights
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "|i1", "I16": "<i2", "I32": "<i4", "I64": "<i8", "U8": "|u1"}
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
    codes = {np.dtype(stored): code for code, stored in _TYPES.items()}
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
class _SafeTensor:
    """A tensor of an open safetensors file; see ``tensor.FileTensor``."""

    file: BinaryIO
    start: int
    code: str
    shape: tuple[int, ...]

    def read(self) -> AnyArray:
        """Return its values, of its shape and the dtype that the file says."""
        if self.code not in _TYPES:
            raise CheckpointError(f"it holds a tensor of type {self.code}, expected one of {', '.join(_TYPES)}")
        with damaged("a tensor cannot be read"):
            self.file.seek(self.start)
            values = np.fromfile(self.file, _TYPES[self.code], math.prod(self.shape))
            return values.reshape(self.shape)


@dataclass(frozen=True)
class SafetensorsFile:
    """An open safetensors file.

    Attributes:
        texts: strings that stand beside the tensors.
    """

    texts: Mapping[str, str]
    _file: BinaryIO
    _header: Mapping[str, Any]
    _data: int

    @classmethod
    def open(cls, path: Path) -> SafetensorsFile:
        """Open a safetensors file.

        Raises:
            CheckpointError: it is damaged.
        """
        with damaged("the safetensors file cannot be read"):
            with safe_open(path, framework="numpy") as checked:
                texts = checked.metadata() or {}
            with path.open("rb") as file:
                header_bytes = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(header_bytes))
        return cls(texts, path.open("rb"), header, 8 + header_bytes)

    @cached_property
    def weights(self) -> Weights:
        """The tensors."""
        return Weights({name: self._tensor(row) for name, row in self._header.items() if name != "__metadata__"})

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""
        self._file.close()

    def _tensor(self, row: Mapping[str, Any]) -> _SafeTensor:
        return _SafeTensor(self._file, self._data + row["data_offsets"][0], row["dtype"], tuple(row["shape"]))
