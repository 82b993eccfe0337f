"""Files that are compressed as a whole, as joblib writes them: unpacked into memory, as far as they may be."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.errors import CheckpointError

_CHUNK_BYTES = 2**20
_MAX_LZMA_BYTES = 2**27
_GZIP, _ZLIB = 31, 15
"""Kinds of streams, as zlib numbers them."""


class _Unpacker(Protocol):
    """What the decompressors of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing left to unpack."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most so many bytes."""


class _ZlibUnpacker:
    """The decompressor of zlib with the interface of the others."""

    def __init__(self, kind: int) -> None:
        self._unpacker = zlib.decompressobj(kind)

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        """Whether there is nothing left to unpack."""
        return not self._unpacker.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most so many bytes."""
        return self._unpacker.decompress(self._unpacker.unconsumed_tail + data, max_length)


def is_packed(head: bytes) -> bool:
    """Return whether a file with these first bytes is one that can be unpacked."""
    return _unpacker(head) is not None


def first_bytes(path: Path, head: bytes, count: int) -> bytes:
    """Return the first bytes of what a file unpacks to; fewer where it is damaged.

    Args:
        path: the file.
        head: its first bytes.
        count: how many bytes at most.
    """
    with path.open("rb") as file:
        try:
            return next(_unpacked(file, head, count), b"")
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
            return b""


def unpack(path: Path, head: bytes, *, expansion: int, always_fine_bytes: int) -> BinaryIO:
    """Return what a file unpacks to.

    Args:
        path: the file.
        head: its first bytes.
        expansion: how often its own size that may be at most.
        always_fine_bytes: what it may be beyond that.

    Raises:
        CheckpointError: it is more, or the file is damaged.
    """
    most = expansion * path.stat().st_size + always_fine_bytes
    unpacked = io.BytesIO()
    with path.open("rb") as file, damaged("it cannot be unpacked"):
        try:
            for chunk in _unpacked(file, head, _CHUNK_BYTES):
                if unpacked.tell() + len(chunk) > most:
                    raise CheckpointError(
                        f"its {path.stat().st_size:,} bytes would unpack to more than {most:,}",
                        hint="the file is damaged, or made to do harm",
                    )
                unpacked.write(chunk)
        except (zlib.error, lzma.LZMAError) as error:
            raise ValueError(str(error)) from error
    unpacked.seek(0)
    return unpacked


def _unpacked(file: BinaryIO, head: bytes, chunk_bytes: int) -> Iterator[bytes]:
    unpacker = _unpacker(head)
    while unpacker is not None and not unpacker.eof:
        data = file.read(_CHUNK_BYTES) if unpacker.needs_input else b""
        if unpacker.needs_input and not data:
            raise EOFError("it ends in the middle")
        chunk = unpacker.decompress(data, chunk_bytes)
        if chunk:
            yield chunk


def _unpacker(head: bytes) -> _Unpacker | None:
    if head.startswith(b"\x1f\x8b"):
        return _ZlibUnpacker(_GZIP)
    if head[:1] == b"x" and head[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        return _ZlibUnpacker(_ZLIB)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lzma.LZMADecompressor(memlimit=_MAX_LZMA_BYTES)
    return None
