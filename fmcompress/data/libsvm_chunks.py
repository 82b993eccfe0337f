"""Chunks of lines in files of text: found in a quick first pass, so that rows can be counted and read in any order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fmcompress.errors import DataError

_CHUNK_BYTES = 4 * 2**20
_LONGEST_LINE_BYTES = 64 * 2**20
# Spaces and comments alone between two line breaks.
_NO_ROW = re.compile(rb"\n[\x00-\x09\x0b-\x20]*(?:#[^\n]*)?(?=\n)")


@dataclass(frozen=True)
class Chunk:
    """Whole lines that are read at a time.

    Attributes:
        file: name of the file.
        offset: its first byte.
        size_bytes: its bytes.
        first_line: number of its first line, counted from 1 in the file.
        rows: lines that are rows: neither empty nor a comment alone.
        start: its first row, counted from 0 in all files.
    """

    file: str
    offset: int
    size_bytes: int
    first_line: int
    rows: int
    start: int

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            DataError: the file cannot be read.
        """
        try:
            with Path(self.file).open("rb") as opened:
                opened.seek(self.offset)
                return opened.read(self.size_bytes)
        except OSError as error:
            raise DataError(f"{self.file}: cannot be read: {error.strerror or error}") from error


def chunks_of(file: Path, *, start: int) -> Iterator[Chunk]:
    """Yield the chunks of a file, some 4 MiB each.

    Args:
        file: the file.
        start: rows in the files before.

    Raises:
        DataError: the file cannot be read, or has a line so long that it is no text.
    """
    offset, first_line = 0, 1
    try:
        with file.open("rb") as opened:
            while block := opened.read(_CHUNK_BYTES):
                if not block.endswith(b"\n"):
                    rest = opened.readline(_LONGEST_LINE_BYTES)
                    if len(rest) == _LONGEST_LINE_BYTES:
                        raise DataError(f"{file}: a line is longer than {_LONGEST_LINE_BYTES:,} bytes")
                    block += rest
                lines, rows = _count(block)
                yield Chunk(str(file), offset, len(block), first_line, rows, start)
                offset, first_line, start = offset + len(block), first_line + lines, start + rows
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _count(block: bytes) -> tuple[int, int]:
    """Return how many lines a block has, and how many of them are rows."""
    end = b"" if block.endswith(b"\n") else b"\n"
    lines = block.count(b"\n") + len(end)
    return lines, lines - len(_NO_ROW.findall(b"\n" + block + end))
