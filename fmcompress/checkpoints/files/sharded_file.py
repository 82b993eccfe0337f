"""Reads safetensors or torch files in shards: several in one folder, and an index that tells which tensor is in which.

model.safetensors.index.json       {"metadata": {…}, "weight_map": {"linear": "model-00001-of-00002.safetensors", …}}
model-00001-of-00002.safetensors   tensors, each whole
model-00002-of-00002.safetensors

``torch.distributed.checkpoint`` also writes such files without an index, of which each has parts of tensors, and tells
in its texts where each part begins.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fmcompress.checkpoints.files.chunked_tensor import Chunk, ChunkedTensor
from fmcompress.checkpoints.files.safetensors_file import SafeTensor, SafetensorsFile
from fmcompress.checkpoints.files.stored_zip import StoredZip
from fmcompress.checkpoints.files.tensor import FileTensor
from fmcompress.checkpoints.files.torch_file import MAGIC, TorchFile
from fmcompress.checkpoints.pickle.arrays import StridedTensor, checked_sizes
from fmcompress.checkpoints.random_file import FilePart, Folder, FolderFile, is_plain_name
from fmcompress.checkpoints.reading_errors import damaged, listed, of_file, quoted
from fmcompress.errors import CheckpointError

_INDEXES = ("*.safetensors.index.json", "*.bin.index.json")
_USUAL = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SUFFIX = ".safetensors"
_LABEL = "fmcompress"
_PARTS = "DCP_SHARDING_INFO"
_FIRST_PLACES = "saved_offsets"
_HEAD_BYTES = 64
_MAX_INDEX_BYTES = 2**25
_MAX_SHARDS = 2**14
_COPY = "copy all files of the checkpoint into one folder"


class _Shard(Protocol):
    """One of the files."""

    @property
    def root(self) -> Mapping[str, FileTensor]:
        """Its tensors."""

    @property
    def texts(self) -> Mapping[str, str]:
        """The strings beside them."""


@dataclass(frozen=True)
class _TorchShard:
    """The tensors of a torch file, and its strings."""

    root: Mapping[str, FileTensor]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class ShardedFile:
    """The tensors of several files; they are read when they are wanted.

    Attributes:
        root: the tensors by name.
        texts: strings that stand beside them, in the index or in a shard.
    """

    root: Mapping[str, FileTensor]
    texts: Mapping[str, str]

    @property
    def most_numbers(self) -> int:
        """How many numbers its tensors can have together."""
        return sum(math.prod(tensor.shape) for tensor in self.root.values())

    def close(self) -> None:
        """Do nothing: its files are open while they are read."""


def index_in(folder: Path) -> Path | None:
    """Return the index in a folder, or None.

    Raises:
        CheckpointError: there are several.
    """
    found = [path for pattern in _INDEXES for path in sorted(folder.glob(pattern)) if path.is_file()]
    usual = [path for path in found if path.name in _USUAL]
    if len(found) > 1 and not usual:
        raise CheckpointError(
            f"it is a folder with several checkpoints: {listed([path.name for path in found])}",
            hint="give the path of one of these files",
        )
    return next(iter((*usual, *found)), None)


def is_index(path: Path, head: bytes) -> bool:
    """Return whether a file, which starts so, is an index of shards."""
    if not head.lstrip().startswith(b"{") or path.stat().st_size > _MAX_INDEX_BYTES:
        return False
    try:
        return "weight_map" in json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False


def shards_of(path: Path) -> tuple[Path, ...]:
    """Return the shards that a file names, in order, without those that are not there; none if it is no index.

    Raises:
        CheckpointError: it is a damaged index, or names a file elsewhere.
    """
    if path.is_dir():  # all its files are its own
        return ()
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not is_index(path, head):
        return ()
    _, places = _read_index(path)
    return tuple(shard for name in sorted(set(places.values())) if (shard := path.parent / name).is_file())


def open_index(path: Path) -> ShardedFile:
    """Open the shards that an index names.

    Raises:
        CheckpointError: it is damaged; a shard is missing or damaged; they do not hold what the index says.
    """
    texts, places = _read_index(path)
    names = sorted(set(places.values()))
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{len(missing)} of its {len(names)} shards are missing: {listed(missing)}", hint=_COPY)
    shards = _shards(path.parent, names)
    root: dict[str, FileTensor] = {}
    for name, shard in shards.items():
        for key, tensor in shard.root.items():
            if places.get(key) != name:
                there = f"says that it is in {quoted(places[key])}" if key in places else "does not name it"
                raise CheckpointError(f"its shard {quoted(name)} has the tensor {listed([key])}, but its index {there}")
            root[key] = tensor
    absent = [key for key in places if key not in root]
    if absent:
        raise CheckpointError(
            f"its shard {quoted(places[absent[0]])} has no tensor {listed(absent)}, but its index says so", hint=_COPY
        )
    return ShardedFile({key: root[key] for key in places}, _texts(texts, shards))


def open_without_index(folder: Path) -> ShardedFile | None:
    """Open a folder with one safetensors file, or with several that have parts of tensors; None of another folder.

    Raises:
        CheckpointError: a file is damaged, or the parts make no whole tensors.
    """
    names = [path.name for path in sorted(folder.glob(f"*{_SUFFIX}")) if path.is_file()]
    shards = _shards(folder, names)
    with_parts = [_PARTS in shard.texts for shard in shards.values()]
    if with_parts and all(with_parts):
        return _open_parts(shards)
    if len(shards) != 1:
        return None
    (shard,) = shards.values()
    return ShardedFile(shard.root, shard.texts)


def _open_parts(shards: Mapping[str, _Shard]) -> ShardedFile:
    chunks: dict[str, list[Chunk]] = {}
    for name, shard in shards.items():
        with of_file(name), damaged("what it says of its parts cannot be read"):
            known = json.loads(shard.texts[_PARTS])
            for key, tensor in shard.root.items():
                first = checked_sizes(tuple(known[key][_FIRST_PLACES]))
                chunks.setdefault(key, []).append(Chunk(first, tensor.shape, tensor))
    return ShardedFile({key: _whole(key, parts) for key, parts in chunks.items()}, _texts({}, shards))


def _whole(key: str, chunks: list[Chunk]) -> FileTensor:
    """Return the tensor that its parts make: it ends where the last of them do."""
    if len({len(chunk.offsets) for chunk in chunks} | {len(chunk.sizes) for chunk in chunks}) > 1:
        raise CheckpointError(f"the parts of {quoted(key)} have different dimensions")
    ends = [[first + size for first, size in zip(chunk.offsets, chunk.sizes, strict=True)] for chunk in chunks]
    kinds = {chunk.source.code for chunk in chunks if isinstance(chunk.source, SafeTensor)}
    if len(kinds) > 1:
        raise CheckpointError(f"the parts of {quoted(key)} are of several types: {', '.join(sorted(kinds))}")
    kind = next(chunk.source.kind for chunk in chunks if isinstance(chunk.source, SafeTensor))
    return ChunkedTensor.of(key, tuple(map(max, zip(*ends, strict=True))), kind, chunks)


def _shards(folder: Path, names: Collection[str]) -> dict[str, _Shard]:
    if len(names) > _MAX_SHARDS:
        raise CheckpointError(f"it has {len(names):,} shards, more than {_MAX_SHARDS:,}")
    files = Folder(folder)
    shards: dict[str, _Shard] = {}
    for name in names:
        with of_file(name):
            shards[name] = _opened(files.file(name))
    return shards


def _opened(file: FolderFile) -> _Shard:
    """Open one of the files: its content decides what it is."""
    with file.path.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            return SafetensorsFile.open(file.path, file)
    torch_file = TorchFile.of(StoredZip.within(FilePart(file, 0, file.size_bytes)))
    if not isinstance(torch_file.root, dict):
        raise CheckpointError("it holds no dict of tensors")
    tensors = {key: value for key, value in torch_file.root.items() if isinstance(value, StridedTensor)}
    return _TorchShard(tensors, torch_file.texts)


def _read_index(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the texts of an index, and the shard of each tensor."""
    with of_file(path.name), damaged("the index cannot be read"):
        if path.stat().st_size > _MAX_INDEX_BYTES:
            raise ValueError(f"it has more than {_MAX_INDEX_BYTES:,} bytes")
        index = json.loads(path.read_bytes())
        places = index["weight_map"]
        texts = index.get("metadata") or {}
        if not isinstance(places, dict) or not isinstance(texts, dict):
            raise TypeError("it holds no dict where one is expected")
        for name in places.values():
            if not isinstance(name, str) or not is_plain_name(name):
                raise CheckpointError(f"it names a shard {quoted(str(name))}, which is no file beside it")
    return {key: value for key, value in texts.items() if isinstance(value, str)}, places


def _texts(texts: Mapping[str, str], shards: Mapping[str, _Shard]) -> Mapping[str, str]:
    """Return the strings of an index and of its shards, which must agree on what the model is."""
    found = dict(texts)
    for name, shard in shards.items():
        label = shard.texts.get(_LABEL)
        if label is not None and found.get(_LABEL, label) != label:
            raise CheckpointError(f"its shard {quoted(name)} is of another model than the others", hint=_COPY)
        found = {**shard.texts, **found}
    return found
