"""Open files of which any part is read at once, by several threads, for as long as somebody wants them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import BinaryIO

from fmcompress.types import UInt8Array

ReadInto = Callable[[int, UInt8Array], None]
"""Fills an array, uint8 (bytes,), from the given place on; EOFError where there are fewer bytes."""


class RandomFile:
    """An open file that is read at any place: into the array that is wanted, without a copy between or a mapping."""

    def __init__(self, file: BinaryIO) -> None:
        """Take a file that is open; it may be closed afterwards."""
        self._number = os.dup(file.fileno())
        self._closed = weakref.finalize(self, os.close, self._number)
        self._held = False

    def read_into(self, place: int, values: UInt8Array) -> None:
        """Fill an array, uint8 (bytes,), from a place of the file on.

        Raises:
            EOFError: the file ends before.
            OSError: the system refuses.
        """
        if not self._closed.alive:
            raise ValueError("the file is closed")
        left = values.data
        while left:
            count = os.preadv(self._number, [left], place)
            if not count:
                raise EOFError("it ends in the middle")
            left, place = left[count:], place + count

    def hold(self) -> None:
        """Let it be open after ``close``, for as long as anybody has it."""
        self._held = True

    def close(self) -> None:
        """Close it, unless somebody holds it."""
        if not self._held:
            self._closed()
