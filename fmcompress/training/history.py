"""The history of a run: a file of JSON lines, one per event, that plots and pipelines can read."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fmcompress.errors import OutputError, StateError
from fmcompress.files import check_writable


@dataclass
class History:
    """A history file. Its first line says what runs; each event adds a line, at once on the disk's way.

    Attributes:
        path: the file.
        heading: its first line.
        keep: bytes of a file that is gone on with; 0 begins the file anew.
    """

    path: Path
    heading: bytes
    keep: int = 0
    _begun: bool = False

    def write(self, event: str, figures: Mapping[str, Any]) -> None:
        """Add a line; NaN and infinity are written as null.

        Raises:
            OutputError: the system refuses, for instance on a full disk.
        """
        with _writing(self.path), self._open() as file:
            file.write(_line(event, figures))

    def mark(self) -> int:
        """Return the size of the file, once all of it is on the disk.

        Raises:
            OutputError: the system refuses.
        """
        with _writing(self.path), self._open() as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def _open(self) -> BinaryIO:
        """Open the file to add to it; the first time, begin it or cut off what is not kept."""
        if not self._begun:
            self._begun = True
            if self.keep:
                os.truncate(self.path, self.keep)
            else:
                self.path.write_bytes(self.heading)
        return self.path.open("ab")


def open_history(
    path: Path, heading: Mapping[str, Any], *, force: bool = False, resume: bool = False, size: int = 0
) -> History:
    """Check a history file; nothing is written before the first event.

    Args:
        path: the file.
        heading: what runs: the first line.
        force: whether an existing file is replaced.
        resume: whether a file with this heading is gone on with.
        size: bytes of it that are kept then, at least the heading.

    Raises:
        OutputError: the file exists and is not to be replaced, or it cannot be written.
        StateError: it is to be gone on with, and is shorter than ``size``.
    """
    line, keep = _line("start", heading), 0
    if resume and _begins_with(path, line):
        keep = max(size, len(line))
        found = path.stat().st_size
        if found < keep:
            raise StateError(
                f"{path} has {found} bytes, expected the {keep} of when the run's state was saved",
                hint="--force starts a new history",
            )
    check_writable(path, force=force or keep > 0)
    return History(path, line, keep)


def _begins_with(path: Path, heading: bytes) -> bool:
    with _writing(path):
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(heading)) == heading


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses into the error for a file that cannot be written."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def _line(event: str, figures: Mapping[str, Any]) -> bytes:
    infinite = {name for name, value in figures.items() if isinstance(value, float) and not math.isfinite(value)}
    return json.dumps({"event": event, **figures, **dict.fromkeys(infinite)}, allow_nan=False).encode() + b"\n"
