"""Reads a torch file, a zip of one pickle and the bytes of its tensors.

torch is not used: it takes seconds to import, and its reader of whole models would run what their pickles ask for.

NAME/data.pkl      the pickle: a state_dict, a dict around it, or a whole model
NAME/byteorder     "little"
NAME/data/0 …      one entry per storage, not compressed
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from fmcompress.checkpoints.files.stored_zip import StoredZip
from fmcompress.checkpoints.pickle.allowed_calls import CALLS
from fmcompress.checkpoints.pickle.arrays import STORAGE_TYPES, Storage
from fmcompress.checkpoints.pickle.stubs import Name
from fmcompress.checkpoints.pickle.unpickle import unpickle
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError

MAGIC = b"PK\x03\x04"
_MAX_PICKLE_BYTES = 2**25
_MAX_NUMBERS_PER_BYTE = 4
"""Several tensors may have the same bytes: with this, each byte of a file of float32 is in 16 tensors at most."""


@dataclass(frozen=True)
class TorchFile:
    """An open torch file: its pickle was read at once, its tensors are when they are wanted.

    Attributes:
        root: the object that it holds.
    """

    root: object
    _zip: StoredZip

    @classmethod
    def of(cls, opened: StoredZip) -> TorchFile:
        """Return the torch file that a zip file is.

        Raises:
            CheckpointError: it is damaged, no torch file, or asks to run something.
        """
        folder = _only_folder(opened.names)
        _check_byte_order(opened, f"{folder}byteorder")
        pickle = opened.read(f"{folder}data.pkl", at_most=_MAX_PICKLE_BYTES).tobytes()
        with damaged("its pickle cannot be read"):
            root = unpickle(pickle, calls=CALLS, persistent=lambda identifier: _storage(opened, folder, identifier))
        return cls(root, opened)

    @property
    def most_numbers(self) -> int:
        """How many numbers its tensors can have together, unless they are the same ones again and again."""
        return _MAX_NUMBERS_PER_BYTE * self._zip.size_bytes

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The strings of a dict, beside its tensors."""
        if not isinstance(self.root, dict):
            return {}
        return {key: value for key, value in self.root.items() if isinstance(key, str) and isinstance(value, str)}

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""
        self._zip.close()


def _only_folder(names: Collection[str]) -> str:
    folders = [name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")]
    if any(name.startswith("code/") or "/code/" in name for name in names):
        raise CheckpointError("it is a TorchScript program", hint="save model.state_dict() with torch.save")
    if len(folders) != 1 or folders[0].count("/") != 1:
        raise CheckpointError("it is a zip file, but no torch file: it has no data.pkl of its own")
    return folders[0]


def _check_byte_order(opened: StoredZip, name: str) -> None:
    if name in opened.names and opened.read(name, at_most=16).tobytes() != b"little":
        raise CheckpointError(
            "it was written on a big-endian machine, expected little-endian",
            hint="load it with torch and save it again on a little-endian machine",
        )


def _storage(opened: StoredZip, folder: str, identifier: tuple[object, ...]) -> Storage:
    _, kind, key, _, elements = identifier
    if not isinstance(kind, Name) or not isinstance(key, str) or type(elements) is not int:
        raise TypeError("a storage has no type, key or size")
    storage_type = STORAGE_TYPES.get(kind.dotted)
    if storage_type is None:
        raise CheckpointError(f"it holds tensors of type {quoted(kind.dotted)}, expected plain numbers")
    name = f"{folder}data/{key}"
    size_bytes = opened.entry_size(name)
    if elements * np.dtype(storage_type.stored).itemsize != size_bytes:
        raise ValueError(f"storage {quoted(key)} has {size_bytes:,} bytes, expected another number")
    part = cache(lambda: opened.entry(name))
    return Storage(storage_type, elements, lambda: opened.read(name, at_most=size_bytes), part)
