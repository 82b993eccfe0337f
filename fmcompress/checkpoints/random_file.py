"""Open files of which any part is read at once, by several threads, for as long as somebody wants them."""

from __future__ import annotations

import io
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from fmcompress.types import UInt8Array

_MOST_OPEN = 64
"""Files of a folder that are open at once."""

ReadInto = Callable[[int, UInt8Array], None]
"""Fills an array, uint8 (bytes,), from the given place on; EOFError where there are fewer bytes."""


class Readable(Protocol):
    """Bytes of which any part can be read."""

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place on.

        Raises:
            EOFError: there are fewer bytes.
            OSError: the system refuses.
            ValueError: the file is closed, or was changed.
        """

    def hold(self) -> None:
        """Let it be read after ``close``, for as long as anybody has it."""

    def close(self) -> None:
        """Close it, unless somebody holds it."""


class RandomFile:
    """An open file; see ``Readable``. It is read into the array that is wanted, without a copy between or a mapping."""

    def __init__(self, file: BinaryIO) -> None:
        """Take a file that is open; it may be closed afterwards."""
        self._number = os.dup(file.fileno())
        self._closed = weakref.finalize(self, os.close, self._number)
        self._held = False

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place on."""
        if not self._closed.alive:
            raise ValueError("the file is closed")
        left = values.data
        while len(left):
            count = os.preadv(self._number, [left], place)
            if not count:
                raise EOFError("it ends in the middle")
            left, place = left[count:], place + count

    def write_from(self, place: int, values: UInt8Array) -> None:
        """Write an array, uint8 (bytes,), from a place on, to a file that was opened for it.

        Raises:
            OSError: the system refuses.
        """
        left = values.data
        while len(left):
            count = os.pwrite(self._number, left, place)
            left, place = left[count:], place + count

    def hold(self) -> None:
        """Let it be read after ``close``, for as long as anybody has it."""
        self._held = True

    def close(self) -> None:
        """Close it, unless somebody holds it."""
        if not self._held:
            self._closed()


@dataclass(frozen=True)
class FolderFile:
    """One of the files of a folder; see ``Readable``. It is opened when it is read, as there may be thousands.

    Attributes:
        path: where it is.
        size_bytes: its size.
    """

    path: Path
    size_bytes: int
    _changed: int
    _opened: Callable[[Path], RandomFile]

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place on."""
        stat = self.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != (self.size_bytes, self._changed):
            raise ValueError(f"{self.path.name} was changed while it was read")
        self._opened(self.path).read_into(place, values)

    def hold(self) -> None:
        """Do nothing: it is opened when it is read."""

    def close(self) -> None:
        """Do nothing: it is closed when others are read, or the folder is forgotten."""


class Folder:
    """The files of a folder, of which few are open at once."""

    def __init__(self, path: Path) -> None:
        """Take a folder."""
        self.path = path
        self._opened = lru_cache(_MOST_OPEN)(_opened)

    def file(self, name: str) -> FolderFile:
        """Return a file by its name.

        Raises:
            ValueError: it is a path, or no name that a file can have.
            FileNotFoundError: there is no such file.
        """
        if not is_plain_name(name):
            raise ValueError("a file that it names is not in its folder")
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError
        stat = path.stat()
        return FolderFile(path, stat.st_size, stat.st_mtime_ns, self._opened)


def is_plain_name(name: str) -> bool:
    """Return whether a text of a file is the name of a file in a folder, and no path."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0") and len(name.encode(errors="replace")) < 256


def _opened(path: Path) -> RandomFile:
    with path.open("rb") as file:
        return RandomFile(file)


@dataclass(frozen=True)
class FilePart:
    """Some bytes of a file, as if they were a file of their own; see ``Readable``.

    Attributes:
        file: the file.
        start: place of the first byte.
        size_bytes: how many there are.
    """

    file: Readable
    start: int
    size_bytes: int

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place on."""
        if place < 0 or place + len(values) > self.size_bytes:
            raise EOFError("it ends in the middle")
        self.file.read_into(self.start + place, values)

    def hold(self) -> None:
        """Let it be read after ``close``."""
        self.file.hold()

    def close(self) -> None:
        """Do nothing: others have parts of the same file."""


class PartReader(io.RawIOBase):
    """A part of a file as a binary file that Python's libraries read."""

    def __init__(self, part: FilePart) -> None:
        """Take a part, and stand at its start."""
        self._part, self._place = part, 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def seekable(self) -> bool:
        """Return that any place can be gone to."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to a place, and return it."""
        before = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._part.size_bytes}[whence]
        if before + offset < 0:
            raise ValueError("a place before the start")
        self._place = before + offset
        return self._place

    def readinto(self, into: Any, /) -> int:
        """Fill a buffer as far as there are bytes, and return their number."""
        values = np.frombuffer(into, np.uint8)[: max(0, self._part.size_bytes - self._place)]
        self._part.read_into(self._place, values)
        self._place += len(values)
        return len(values)
