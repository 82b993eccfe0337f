"""The safetensors container: a header of JSON, then the tensors' bytes.

The safetensors library writes the metadata in random order; an artifact must have the same bytes for the
same input, so its header is written here, in canonical order. Files are ordinary safetensors files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fmcompress.errors import ArtifactError

LENGTH_BYTES = 8
"""The header's length, little-endian, comes first."""

MAX_HEADER_BYTES = 100_000_000
"""What the safetensors library accepts."""

_ARTIFACTS = "an artifact is a file that quantize wrote; inspect shows checkpoints"
_DTYPE_BYTES = {"F32": 4, "F16": 2, "U8": 1}


@dataclass(frozen=True)
class StoredTensor:
    """A one-dimensional tensor of the container.

    Attributes:
        name: its name.
        dtype: ``F32``, ``F16`` or ``U8``.
        size: number of elements.
    """

    name: str
    dtype: str
    size: int

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.size * _DTYPE_BYTES[self.dtype]


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys, without spaces, in UTF-8: the same value gives the same text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text; strictly: a key that occurs twice, NaN and Infinity are errors.

    Raises:
        ValueError: the text is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def encode_header(metadata: str, tensors: Sequence[StoredTensor], *, header_bytes: int = 0) -> bytes:
    """Return the container's length and header.

    Args:
        metadata: text of the key ``fmcompress`` in ``__metadata__``.
        tensors: the tensors in the order of their bytes.
        header_bytes: size to fill the result up to with spaces; never less than it needs.
    """
    layout: dict[str, Any] = {"__metadata__": {"fmcompress": metadata}}
    start = 0
    for tensor in tensors:
        end = start + tensor.nbytes
        layout[tensor.name] = {"dtype": tensor.dtype, "shape": [tensor.size], "data_offsets": [start, end]}
        start = end
    text = json.dumps(layout, separators=(",", ":"), ensure_ascii=False).encode()
    size = max(header_bytes, LENGTH_BYTES + len(text))
    text = text.ljust(size - LENGTH_BYTES, b" ")
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def decode_header(data: memoryview, file_bytes: int) -> tuple[str, tuple[StoredTensor, ...], int]:
    """Return metadata, tensors and the position of the first tensor's bytes.

    Args:
        data: the file's bytes.
        file_bytes: size of the file.

    Raises:
        ArtifactError: it is no safetensors file, carries no fmcompress metadata, or its tensors do not lie
            one after the other up to the end of the file.
    """
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if file_bytes < LENGTH_BYTES or not 2 <= length <= min(MAX_HEADER_BYTES, file_bytes - LENGTH_BYTES):
        raise ArtifactError("is not a safetensors file, or is cut short", hint=_ARTIFACTS)
    try:
        layout = parse_json(str(data[LENGTH_BYTES : LENGTH_BYTES + length], "utf-8"))
        metadata = layout.pop("__metadata__")["fmcompress"]
        tensors = [_tensor(name, entry, file_bytes) for name, entry in layout.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError("is not a safetensors file written by fmcompress", hint=_ARTIFACTS) from error
    if not isinstance(metadata, str):
        raise ArtifactError("is not a safetensors file written by fmcompress", hint=_ARTIFACTS)
    start = 0
    for tensor, offsets in tensors:
        if offsets != [start, start + tensor.nbytes]:
            raise ArtifactError(f"is damaged: tensor {tensor.name[:40]!r} does not lie where its size says")
        start += tensor.nbytes
    if LENGTH_BYTES + length + start != file_bytes:
        expected = LENGTH_BYTES + length + start
        raise ArtifactError(f"is damaged: it has {file_bytes} bytes, expected {expected}")
    return metadata, tuple(tensor for tensor, _ in tensors), LENGTH_BYTES + length


def _tensor(name: str, entry: dict[str, Any], file_bytes: int) -> tuple[StoredTensor, list[int]]:
    (size,) = entry["shape"]
    if entry["dtype"] not in _DTYPE_BYTES or type(size) is not int or not 0 <= size <= file_bytes:
        raise ValueError(name)
    start, end = entry["data_offsets"]
    if type(start) is not int or type(end) is not int:
        raise ValueError(name)
    return StoredTensor(name, entry["dtype"], size), [start, end]
