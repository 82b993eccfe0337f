"""Reads and writes safetensors files: a header of JSON, then the tensors' bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from fmcompress.checkpoints.files.tensor import Weights
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError

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


def write_safetensors(file: BinaryIO, tensors: Mapping[str, npt.NDArray[Any]], texts: Mapping[str, str]) -> None:
    """Write tensors and texts; the same input gives the same bytes.

    The library of the format would write the texts in random order, and build the whole file in memory.
    """
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
    """A tensor of an open safetensors file; see ``tensor.Tensor``."""

    file: BinaryIO
    start: int
    code: str
    shape: tuple[int, ...]

    def read(self) -> npt.NDArray[Any]:
        if self.code not in _TYPES:
            raise CheckpointError(f"it holds a tensor of type {self.code}, expected one of {', '.join(_TYPES)}")
        with damaged("a tensor cannot be read"):
            self.file.seek(self.start)
            values = np.fromfile(self.file, _TYPES[self.code], math.prod(self.shape))
            return values.reshape(self.shape)


class SafetensorsFile:
    """An open safetensors file.

    The library of the format checks the file. Its tensors are read without it, because it maps the file into
    memory and copies from there, which counts twice.

    Raises:
        CheckpointError: it is damaged.
    """

    def __init__(self, path: Path) -> None:
        with damaged("the safetensors file cannot be read"):
            with safe_open(path, framework="numpy") as checked:
                self.texts: Mapping[str, str] = checked.metadata() or {}
            with path.open("rb") as file:
                header_bytes = int.from_bytes(file.read(8), "little")
                self._header = json.loads(file.read(header_bytes))
        self._data = 8 + header_bytes
        self._file = path.open("rb")

    @cached_property
    def weights(self) -> Weights:
        """The tensors."""
        return Weights({name: self._tensor(row) for name, row in self._header.items() if name != "__metadata__"})

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""
        self._file.close()

    def _tensor(self, row: dict[str, Any]) -> _SafeTensor:
        return _SafeTensor(self._file, self._data + row["data_offsets"][0], row["dtype"], tuple(row["shape"]))
