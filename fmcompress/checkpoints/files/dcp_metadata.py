"""What a folder of ``torch.distributed.checkpoint`` holds, by its ``.metadata``.

That is a pickle of a ``Metadata``, whose classes become stubs:

state_dict_metadata   by name a TensorStorageMetadata (properties, size, chunks) or a BytesStorageMetadata
planner_data          by name the keys that lead to it in what was saved; None where that was flat
storage_data          by MetadataIndex (fqn, offset) a _StorageInfo (relative_path, offset, length)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.arrays import checked_sizes
from fmcompress.checkpoints.pickle.stubs import Name, Stub
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError

_CLASS = "torch.distributed.checkpoint.metadata.Metadata"
_MAX_BYTES = 2**27
_TIMES = 8
"""How often the operations of another pickle: each part of each tensor has some seventy."""

_MAX_DEPTH = 32
_MAX_NAME = 1024


@dataclass(frozen=True)
class StoredItem:
    """Where a part of a tensor, or another object, stands: bytes of one of the files."""

    file: str
    start: int
    size_bytes: int


@dataclass(frozen=True)
class StoredChunk:
    """A part of a tensor: where it begins along each axis, its shape, and where it stands."""

    offsets: tuple[int, ...]
    sizes: tuple[int, ...]
    item: StoredItem


@dataclass(frozen=True)
class TensorEntry:
    """A tensor.

    Attributes:
        name: its name, with dots between the keys that lead to it.
        path: these keys.
        dtype: type of its numbers, such as ``torch.float32``.
        shape: its shape.
        chunks: its parts.
    """

    name: str
    path: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[StoredChunk, ...]


@dataclass(frozen=True)
class ObjectEntry:
    """Anything else: its name, the keys that lead to it, and where it stands."""

    name: str
    path: tuple[str, ...]
    item: StoredItem


@dataclass(frozen=True)
class DcpMetadata:
    """What a folder holds."""

    tensors: tuple[TensorEntry, ...]
    objects: tuple[ObjectEntry, ...]


def read_metadata(path: Path) -> DcpMetadata:
    """Read the file ``.metadata``.

    Raises:
        CheckpointError: it is damaged, asks to run something, or is of something else.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise CheckpointError(f"its .metadata has {path.stat().st_size:,} bytes, more than {_MAX_BYTES:,}")
    with path.open("rb") as file, damaged("its .metadata cannot be read"):
        root = unpickle(file, calls=CALLS, persistent=_nothing_outside, times=_TIMES)
    if not isinstance(root, Stub) or root.class_name != _CLASS:
        found = quoted(root.class_name) if isinstance(root, Stub) else "plain values"
        raise CheckpointError(f"its .metadata is of {found}, expected one of torch.distributed.checkpoint")
    with damaged("its .metadata cannot be read"):
        return _metadata(root)


def _metadata(root: Stub) -> DcpMetadata:
    entries = _dict(root.attributes["state_dict_metadata"])
    paths = _paths(root.attributes.get("planner_data"))
    items = _items(_dict(root.attributes["storage_data"]))
    tensors, objects = [], []
    left = len(items)
    for name, entry in entries.items():
        if not isinstance(name, str) or not isinstance(entry, Stub) or len(name) > _MAX_NAME:
            raise TypeError("it names something that is no entry")
        path = paths.get(name, (name,))
        if entry.class_name.endswith(".TensorStorageMetadata"):
            tensor = _tensor(name, path, entry, items)
            left -= len(tensor.chunks)
            tensors.append(tensor)
        elif entry.class_name.endswith(".BytesStorageMetadata"):
            objects.append(ObjectEntry(name, path, items[name, None]))
            left -= 1
        else:
            raise TypeError(f"it names a {quoted(entry.class_name)}")
        if left < 0:
            raise ValueError("it names its parts again and again")
    return DcpMetadata(tuple(tensors), tuple(objects))


def _tensor(
    name: str, path: tuple[str, ...], entry: Stub, items: Mapping[tuple[str, tuple[int, ...] | None], StoredItem]
) -> TensorEntry:
    properties, parts = entry.attributes["properties"], entry.attributes["chunks"]
    if not isinstance(properties, Stub) or not isinstance(parts, list):
        raise TypeError("a tensor has no properties or no parts")
    state = properties.state
    dtype = state[0] if isinstance(state, tuple) and state else properties.attributes.get("dtype")
    if not isinstance(dtype, Name):
        raise TypeError("a tensor has no type")
    if len(parts) > len(items):
        raise ValueError("a tensor has more parts than there are")
    chunks = []
    for part in parts:
        offsets, sizes = (checked_sizes(_attribute(part, key)) for key in ("offsets", "sizes"))
        item = items.get((name, offsets))
        if item is None:
            raise ValueError(f"a part of {quoted(name)} stands nowhere")
        chunks.append(StoredChunk(offsets, sizes, item))
    return TensorEntry(name, path, dtype.dotted, checked_sizes(entry.attributes["size"]), tuple(chunks))


def _items(stored: Mapping[object, object]) -> dict[tuple[str, tuple[int, ...] | None], StoredItem]:
    """Return where everything stands, by name and, of a part of a tensor, by its first place."""
    found = {}
    for index, info in stored.items():
        name, offset = _attribute(index, "fqn"), _attribute(index, "offset", None)
        file, start, size = (_attribute(info, key) for key in ("relative_path", "offset", "length"))
        if not isinstance(name, str) or not isinstance(file, str) or type(start) is not int or type(size) is not int:
            raise TypeError("it names a place that is none")
        if min(start, size) < 0:
            raise ValueError("it names a place that cannot be")
        if _attribute(info, "transform_descriptors", None):
            raise CheckpointError(
                f"what its file {quoted(file)} holds is compressed or changed by an extension of torch",
                hint="save it without extensions of FileSystemWriter",
            )
        key = name, None if offset is None else checked_sizes(offset)
        if key in found:
            raise ValueError(f"a part of {quoted(name)} stands in two places")
        found[key] = StoredItem(file, start, size)
    return found


def _paths(planned: object) -> dict[str, tuple[str, ...]]:
    """Return the keys that lead to each name, where what was saved was nested."""
    return dict(_keys(planned)) if isinstance(planned, dict) else {}


def _keys(planned: Mapping[object, object]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for name, path in planned.items():
        if not isinstance(name, str) or not isinstance(path, tuple) or not 0 < len(path) <= _MAX_DEPTH:
            continue
        if all(type(key) is int or (isinstance(key, str) and len(key) <= _MAX_NAME) for key in path):
            yield name, tuple(str(key) for key in path)


def _attribute(value: object, name: str, *default: object) -> object:
    if not isinstance(value, Stub):
        raise TypeError("it holds plain values where objects are expected")
    return value.attributes.get(name, *default) if default else value.attributes[name]


def _dict(value: object) -> dict[object, object]:
    if not isinstance(value, dict):
        raise TypeError("it holds no dict where one is expected")
    return value


def _nothing_outside(_: tuple[object, ...]) -> object:
    raise ValueError("it has parts outside of it")
