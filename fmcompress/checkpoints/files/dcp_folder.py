"""Reads a folder that ``torch.distributed.checkpoint`` saved: what is in it by ``.metadata``, and the files of numbers.

Each part of a tensor, and each other object, is a torch file of its own within one of the files ``__0_0.distcp``, which
stand one after the other there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fmcompress.checkpoints.files.chunked_tensor import Chunk, ChunkedTensor
from fmcompress.checkpoints.files.dcp_metadata import ObjectEntry, StoredItem, TensorEntry, read_metadata
from fmcompress.checkpoints.files.stored_zip import StoredZip
from fmcompress.checkpoints.files.torch_file import TorchFile
from fmcompress.checkpoints.pickle.arrays import StridedTensor
from fmcompress.checkpoints.pickle.unpickle import RefusedCallError
from fmcompress.checkpoints.random_file import FilePart, Folder, FolderFile
from fmcompress.checkpoints.reading_errors import of_file, quoted
from fmcompress.checkpoints.stored_numbers import NUMBER_TYPES, NumberType
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray

METADATA = ".metadata"
_MAX_NUMBERS_PER_BYTE = 4
_MAX_OBJECT_BYTES = 2**16
_MAX_OBJECTS = 2**14
"""Objects beside the tensors that are looked at: texts and numbers are; states of other things are larger."""


@dataclass(frozen=True)
class DcpFolder:
    """An open folder; its tensors are read when they are wanted.

    Attributes:
        root: what was saved: tensors, texts and numbers in dicts.
        most_numbers: how many numbers its tensors can have together, unless they are the same ones again and again.
    """

    root: Mapping[str, object]
    most_numbers: int

    @classmethod
    def open(cls, path: Path) -> DcpFolder:
        """Open a folder.

        Raises:
            CheckpointError: it is damaged, a file is missing or cut short, or it asks to run something.
        """
        metadata = read_metadata(path / METADATA)
        files = _Files(Folder(path))
        root: dict[str, object] = {}
        for tensor in metadata.tensors:
            _put(root, tensor.path, _tensor(tensor, files))
        for entry in metadata.objects[:_MAX_OBJECTS]:
            _put(root, entry.path, _object(entry, files))
        return cls(root, _MAX_NUMBERS_PER_BYTE * files.size_bytes)

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The strings beside its tensors."""
        return {key: value for key, value in self.root.items() if isinstance(value, str)}

    def close(self) -> None:
        """Do nothing: its files are open while they are read."""


class _Files:
    """The files of a folder that its metadata name."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._files: dict[str, FolderFile] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all together."""
        return sum(file.size_bytes for file in self._files.values())

    def part(self, item: StoredItem) -> FilePart:
        """Return the bytes of an item."""
        if item.file not in self._files:
            try:
                self._files[item.file] = self._folder.file(item.file)
            except FileNotFoundError:
                raise CheckpointError(
                    f"its file {quoted(item.file)} is missing", hint="copy the whole folder, of all processes"
                ) from None
            except ValueError as error:
                raise CheckpointError(f"its .metadata names {quoted(item.file)}, but {error}") from error
        file = self._files[item.file]
        if item.start + item.size_bytes > file.size_bytes:
            raise CheckpointError(
                f"its file {quoted(item.file)} has {file.size_bytes:,} bytes, "
                f"but its .metadata expects {item.start + item.size_bytes:,} or more",
                hint="the file was cut short, or is of another checkpoint: copy or save it again",
            )
        return FilePart(file, item.start, item.size_bytes)


@dataclass(frozen=True)
class _StoredChunk:
    """What a part of a tensor is read from: a torch file within a file, opened when it is read."""

    name: str
    file: str
    part: FilePart
    sizes: tuple[int, ...]
    kind: NumberType

    @cached_property
    def _tensor(self) -> StridedTensor:
        tensor = TorchFile.of(StoredZip.within(self.part)).root
        if not isinstance(tensor, StridedTensor) or tensor.shape != self.sizes or tensor.kind is not self.kind:
            raise CheckpointError(
                f"it holds something else than the part of {quoted(self.name)} that .metadata expects there",
                hint="it is damaged, or of another checkpoint",
            )
        return tensor

    def read(self) -> AnyArray:
        with of_file(self.file):
            return self._tensor.read()

    def read_rows(self, start: int, stop: int) -> AnyArray:
        with of_file(self.file):
            return self._tensor.read_rows(start, stop)

    def hold(self) -> None:
        """Do nothing: its file is open while it is read."""


def _tensor(entry: TensorEntry, files: _Files) -> ChunkedTensor:
    kind = NUMBER_TYPES.get(entry.dtype.removeprefix("torch."))
    if kind is None:
        raise CheckpointError(
            f"its tensor {quoted(entry.name)} is of type {quoted(entry.dtype)}, expected plain numbers"
        )
    chunks = []
    for chunk in entry.chunks:
        stored = _StoredChunk(entry.name, chunk.item.file, files.part(chunk.item), chunk.sizes, kind)
        chunks.append(Chunk(chunk.offsets, chunk.sizes, stored))
    return ChunkedTensor.of(entry.name, entry.shape, kind, chunks)


def _object(entry: ObjectEntry, files: _Files) -> object:
    """Return an object beside the tensors, where it is a text or a number."""
    part = files.part(entry.item)
    if part.size_bytes > _MAX_OBJECT_BYTES:
        return None
    with of_file(entry.item.file):
        try:
            found = TorchFile.of(StoredZip.within(part)).root
        except RefusedCallError:  # which a text or a number does not ask for
            return None
    return found if isinstance(found, str | float | int) else None


def _put(root: dict[str, object], path: tuple[str, ...], value: object) -> None:
    """Put a value where its keys lead to."""
    holder = root
    for key in path[:-1]:
        inner = holder.setdefault(key, {})
        if not isinstance(inner, dict):
            raise CheckpointError(f"its .metadata has {quoted('.'.join(path))} inside of something else")
        holder = inner
    if path[-1] in holder:
        raise CheckpointError(f"its .metadata has {quoted('.'.join(path))} twice")
    holder[path[-1]] = value
