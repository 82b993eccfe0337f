"""Reads a zip file, of torch or numpy, without trusting what it says of itself.

``zipfile`` reads the list of entries; their bytes are read here, because it believes any size and copies them twice.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmcompress.checkpoints.files.temporary_file import temporary_file, writing
from fmcompress.checkpoints.random_file import FilePart, PartReader, RandomFile, Readable
from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.errors import CheckpointError
from fmcompress.types import UInt8Array

_MAX_DIRECTORY_BYTES = 2**22
"""Of the list of entries; each takes some 70 bytes there, and ten times that in memory."""

_CHUNK_BYTES = 2**20
_ENCRYPTED = 0x1
_LOCAL_SIZES = 26
"""Where an entry's own header says how long its name and its extra field are, which end it."""


class _Directory(io.BufferedReader):
    """A file of which ``zipfile`` reads no more at once than a list of entries may have."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw)
        self.size_bytes = self.seek(0, os.SEEK_END)

    def read(self, size: int | None = -1, /) -> bytes:
        left = self.size_bytes - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _MAX_DIRECTORY_BYTES:
            raise ValueError("its list of entries is too long")
        return super().read(wanted)


@dataclass
class StoredEntry:
    """An entry that is not compressed, of which parts are read.

    Attributes:
        file: the zip file.
        start: place of its first byte in the file.
        size_bytes: how many it has.
    """

    file: Readable
    start: int
    size_bytes: int
    _checksum: int
    _checked: bool = False

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place of the entry on.

        The checksum of the whole entry is checked when a part is read for the first time.

        Raises:
            ValueError, EOFError: it is damaged, or has fewer bytes.
        """
        if place + len(values) > self.size_bytes:
            raise EOFError("it ends in the middle")
        if not self._checked:
            self._check()
        self.file.read_into(self.start + place, values)

    def hold(self) -> None:
        """Let it be read after the zip file is closed."""
        self.file.hold()

    def close(self) -> None:
        """Do nothing: the zip file is closed."""

    def _check(self) -> None:
        checksum = 0
        chunk = np.empty(min(_CHUNK_BYTES, self.size_bytes), np.uint8)
        for place in range(0, self.size_bytes, _CHUNK_BYTES):
            part = chunk[: self.size_bytes - place]
            self.file.read_into(self.start + place, part)
            checksum = zlib.crc32(part.data, checksum)
        if checksum != self._checksum:
            raise zipfile.BadZipFile("bad CRC-32")
        self._checked = True


@dataclass(frozen=True)
class StoredZip:
    """An open zip file.

    Attributes:
        size_bytes: of the whole file.
    """

    size_bytes: int
    _file: _Directory
    _zip: zipfile.ZipFile
    _entries: Mapping[str, zipfile.ZipInfo]
    _random: Readable

    @classmethod
    def open(cls, path: Path) -> StoredZip:
        """Open a zip file.

        Raises:
            CheckpointError: it is damaged, has two entries of one name, or entries in one place.
        """
        file = _Directory(io.FileIO(path))
        try:
            return cls._of(file, RandomFile(file))
        except BaseException:
            file.close()
            raise

    @classmethod
    def within(cls, part: FilePart) -> StoredZip:
        """Open a zip file that is a part of another file.

        Raises:
            CheckpointError: it is damaged, has two entries of one name, or entries in one place.
        """
        return cls._of(_Directory(PartReader(part)), part)

    @classmethod
    def _of(cls, file: _Directory, random: Readable) -> StoredZip:
        with damaged("the zip file cannot be read"):
            opened = zipfile.ZipFile(file)
        return cls(file.size_bytes, file, opened, _index(opened.infolist(), file.size_bytes), random)

    @property
    def names(self) -> Collection[str]:
        """The names of its entries; they are names only, no paths of anything."""
        return self._entries.keys()

    def entry_size(self, name: str) -> int:
        """Return the size of an entry, as the file tells it.

        Raises:
            KeyError: there is no such entry.
        """
        return self._entries[name].file_size

    def close(self) -> None:
        """Close the file; entries can no longer be read, but for parts of those whose file is held."""
        self._file.close()
        self._random.close()

    def read(self, name: str, *, at_most: int) -> UInt8Array:
        """Return the bytes of an entry, uint8 (bytes,); their checksum is checked on the way.

        Raises:
            CheckpointError: it is compressed, larger than it may be, or damaged.
            KeyError: there is no such entry.
        """
        info = self._stored(name, at_most)
        size = info.file_size
        values = np.empty(size, dtype=np.uint8)
        with damaged(f"its entry {quoted(name)} cannot be read"):
            self._go_to_content(info)
            checksum = 0
            for start in range(0, size, _CHUNK_BYTES):  # small enough to be in the cache for its checksum
                chunk = values[start : start + _CHUNK_BYTES]
                if self._file.readinto(chunk.data) != len(chunk):
                    raise EOFError("it ends in the middle")
                checksum = zlib.crc32(chunk.data, checksum)
            if checksum != info.CRC:
                raise zipfile.BadZipFile("bad CRC-32")
        return values

    def entry(self, name: str) -> StoredEntry:
        """Return an entry of which parts will be read.

        Raises:
            CheckpointError: it is compressed, larger than it can be, or damaged.
            KeyError: there is no such entry.
        """
        info = self._stored(name, self.size_bytes)
        with damaged(f"its entry {quoted(name)} cannot be read"):
            self._go_to_content(info)
        return StoredEntry(self._random, self._file.tell(), info.file_size, info.CRC)

    def is_stored(self, name: str) -> bool:
        """Return whether an entry is not compressed.

        Raises:
            KeyError: there is no such entry.
        """
        return self._entries[name].compress_type == zipfile.ZIP_STORED

    def first_bytes(self, name: str, count: int) -> bytes:
        """Return the first bytes of an entry, stored or deflated.

        Raises:
            zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error: it is damaged or encrypted.
            KeyError: there is no such entry.
        """
        with self._zip.open(self._entries[name]) as entry:
            return entry.read(count)

    def read_deflated(self, name: str) -> UInt8Array:
        """Return the bytes of an entry, stored or deflated, uint8 (bytes,); whoever calls has checked its size.

        Raises:
            CheckpointError: it is damaged, or does not have the size that the file tells.
            KeyError: there is no such entry.
        """
        info = self._entries[name]
        if info.compress_type == zipfile.ZIP_STORED:
            return self.read(name, at_most=info.file_size)
        values = np.empty(info.file_size, dtype=np.uint8)
        for place, data in self._inflated(info):
            values[place : place + len(data)] = data
        return values

    def inflate(self, name: str) -> RandomFile:
        """Return the bytes of an entry in a temporary file; whoever calls has checked its size.

        Raises:
            CheckpointError: it is damaged, does not have the size that the file tells, or there is no space for it.
            KeyError: there is no such entry.
        """
        info = self._entries[name]
        file = temporary_file(info.file_size)
        for place, data in self._inflated(info):
            with writing():
                file.write_from(place, data)
        return file

    def _inflated(self, info: zipfile.ZipInfo) -> Iterator[tuple[int, UInt8Array]]:
        """Yield the bytes of an entry piece by piece, uint8 (bytes,), each with its place."""
        with damaged(f"its entry {quoted(info.filename)} cannot be read"), self._zip.open(info) as entry:
            for place in range(0, info.file_size, _CHUNK_BYTES):
                size = min(_CHUNK_BYTES, info.file_size - place)
                data = entry.read(size)
                if len(data) != size:
                    raise EOFError("it ends in the middle")
                yield place, np.frombuffer(data, np.uint8)
            if entry.read(1):
                raise EOFError("it is longer than the file says")

    def _stored(self, name: str, at_most: int) -> zipfile.ZipInfo:
        info = self._entries[name]
        size = info.file_size
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != size or info.flag_bits & _ENCRYPTED:
            raise CheckpointError(f"its entry {quoted(name)} is compressed or encrypted, as no torch file's is")
        if size > at_most or info.header_offset + size > self.size_bytes:
            raise CheckpointError(f"its entry {quoted(name)} has {size:,} bytes, more than it can have")
        return info

    def _go_to_content(self, info: zipfile.ZipInfo) -> None:
        # zipfile would read it in pieces that are copied twice, but it checks the header in front of an entry well.
        self._zip.open(info).close()
        self._file.seek(info.header_offset + _LOCAL_SIZES)
        name_bytes, extra_bytes = struct.unpack("<HH", self._file.read(4))
        self._file.seek(name_bytes + extra_bytes, os.SEEK_CUR)


def _index(infos: Collection[zipfile.ZipInfo], size_bytes: int) -> Mapping[str, zipfile.ZipInfo]:
    entries = {info.filename: info for info in infos}
    if len(entries) != len(infos):
        raise CheckpointError("it is a zip file with two entries of one name, as no torch file is")
    if sum(info.compress_size for info in infos) > size_bytes:
        raise CheckpointError("it is a zip file whose entries have more bytes than the file: they lie over each other")
    return entries
