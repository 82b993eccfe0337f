"""Reads a torch file, a zip of one pickle and the bytes of its tensors, without torch.

NAME/data.pkl      the pickle: a state_dict, a dict around it, or a whole model
NAME/byteorder     "little"
NAME/data/0 …      one entry per storage, not compressed
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.damage import damaged, quoted
from fmcompress.checkpoints.modules import weights_of
from fmcompress.checkpoints.stand_ins import CALLS, STORAGE_TYPES, Storage
from fmcompress.checkpoints.tensor import Weights
from fmcompress.checkpoints.unpickle import Name, unpickle
from fmcompress.errors import CheckpointError

MAGIC = b"PK\x03\x04"
MAX_PICKLE_BYTES = 2**25
_CHUNK_BYTES = 2**20
_ENCRYPTED = 0x1


class TorchFile:
    """An open torch file: its pickle is read at once, its tensors when they are wanted.

    Raises:
        CheckpointError: it is damaged, no torch file, or asks to run something.
    """

    def __init__(self, path: Path) -> None:
        with damaged("the torch file cannot be read"):
            self._zip = zipfile.ZipFile(path)
        try:
            self._bytes = path.stat().st_size
            self._entries = self._index()
            self._folder = self._only_folder()
            self._check_byte_order()
            self.root = self._unpickle()
        except BaseException:
            self.close()
            raise

    @cached_property
    def weights(self) -> Weights:
        """The tensors of its state_dict or its whole model."""
        return weights_of(self.root)

    @property
    def texts(self) -> Mapping[str, str]:
        """The strings of a dict, beside its tensors."""
        if not isinstance(self.root, dict):
            return {}
        return {key: value for key, value in self.root.items() if isinstance(key, str) and isinstance(value, str)}

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""
        self._zip.close()

    def _index(self) -> dict[str, zipfile.ZipInfo]:
        infos = self._zip.infolist()
        entries = {info.filename: info for info in infos}
        if len(entries) != len(infos):
            raise CheckpointError("it is a zip file with two entries of one name, as no torch file is")
        return entries

    def _only_folder(self) -> str:
        folders = [name[: -len("data.pkl")] for name in self._entries if name.endswith("/data.pkl")]
        if any(name.startswith("code/") or "/code/" in name for name in self._entries):
            raise CheckpointError("it is a TorchScript program", hint="save model.state_dict() with torch.save")
        if len(folders) != 1 or folders[0].count("/") != 1:
            raise CheckpointError("it is a zip file, but no torch file: it has no data.pkl of its own")
        return folders[0]

    def _check_byte_order(self) -> None:
        name = f"{self._folder}byteorder"
        if name in self._entries and self._read(name, at_most=16).tobytes() != b"little":
            raise CheckpointError(
                "it was written on a big-endian machine, expected little-endian",
                hint="load it with torch and save it again on a little-endian machine",
            )

    def _unpickle(self) -> object:
        pickle = self._read(f"{self._folder}data.pkl", at_most=MAX_PICKLE_BYTES).tobytes()
        with damaged("its pickle cannot be read"):
            return unpickle(pickle, calls=CALLS, persistent=self._storage)

    def _storage(self, identifier: tuple[object, ...]) -> Storage:
        _, kind, key, _, elements = identifier
        if not isinstance(kind, Name) or not isinstance(key, str) or type(elements) is not int:
            raise TypeError("a storage has no type, key or size")
        storage_type = STORAGE_TYPES.get(kind.dotted)
        if storage_type is None:
            raise CheckpointError(f"it holds tensors of type {quoted(kind.dotted)}, expected plain numbers")
        name = f"{self._folder}data/{key}"
        size_bytes = self._entries[name].file_size
        if elements * np.dtype(storage_type.stored).itemsize != size_bytes:
            raise ValueError(f"storage {quoted(key)} has {size_bytes:,} bytes, expected another number")
        return Storage(storage_type, elements, lambda: self._read(name, at_most=size_bytes))

    def _read(self, name: str, *, at_most: int) -> npt.NDArray[np.uint8]:
        """Return the bytes of an entry; the zip's checksum of them is checked on the way."""
        info = self._entries[name]
        size = info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != size or info.flag_bits & _ENCRYPTED:
            raise CheckpointError(f"its entry {quoted(name)} is compressed or encrypted, as no torch file's is")
        if size > at_most or info.header_offset + size > self._bytes:
            raise CheckpointError(f"its entry {quoted(name)} has {size:,} bytes, more than it can have")
        values = np.empty(size, dtype=np.uint8)
        with damaged(f"its entry {quoted(name)} cannot be read"), self._zip.open(info) as entry:
            for start in range(0, size, _CHUNK_BYTES):
                chunk = entry.read(min(_CHUNK_BYTES, size - start))
                values[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
                if not chunk:
                    raise EOFError("it ends in the middle")
            entry.read(1)  # past the end: checks the checksum of an empty entry too
        return values
