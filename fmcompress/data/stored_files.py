"""Where files of data are: on this machine, or in a file system that a URI names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypeVar

from fmcompress.cores import usable_cores
from fmcompress.processes.world import this_process

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.fs as pafs

_T = TypeVar("_T")
_S = TypeVar("_S")

_REQUESTS = 16
"""Files of a file system that is not here which are asked at a time: that takes no core, but waits for answers."""

TEXTS = 4
"""Files of text of which rows are counted at a time: some 20 MB are held of each."""


class StoredFile(Protocol):
    """A file, wherever it is; ``str`` names it in messages.

    Attributes:
        name: last part of its path.
        size_bytes: how long it is.
        known_bytes: the same, where it need not be asked for; else None.
        handle: what pyarrow takes for it in its file system.
        system: the file system.
        patience: how many of its kind are best opened at a time.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def size_bytes(self) -> int: ...  # noqa: D102

    @property
    def known_bytes(self) -> int | None: ...  # noqa: D102

    @property
    def handle(self) -> str | pa.NativeFile: ...  # noqa: D102

    @property
    def system(self) -> pafs.FileSystem: ...  # noqa: D102

    @property
    def patience(self) -> int: ...  # noqa: D102

    def open(self) -> pa.NativeFile:
        """Open it for reading, wherever in it.

        Raises:
            OSError: it cannot be read, or is no file.
        """


@dataclass(frozen=True)
class LocalFile:
    """A file of this machine, see ``StoredFile``."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        """Last part of its path."""
        return self.path.name

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.path.stat().st_size

    @property
    def known_bytes(self) -> None:
        """How long it is, which is quickly asked for."""
        return

    @property
    def handle(self) -> str | pa.NativeFile:
        """What pyarrow takes for it: its path, or itself, opened, where its name is not UTF-8."""
        try:
            str(self.path).encode()
        except UnicodeEncodeError:
            return self.open()
        return str(self.path)

    @property
    def system(self) -> pafs.FileSystem:
        """The machine's."""
        import pyarrow.fs

        return pyarrow.fs.LocalFileSystem()

    @property
    def patience(self) -> int:
        """How many are best opened at a time."""
        return usable_cores()

    def open(self) -> pa.NativeFile:
        """Open it for reading, see ``StoredFile``."""
        import pyarrow as pa

        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} is not a file")
        return pa.OSFile(os.fsencode(self.path), "r")  # as bytes: a name need not be UTF-8


@dataclass(frozen=True)
class RemoteFile:
    """A file of a file system that a URI names, see ``StoredFile``.

    Attributes:
        system: the file system.
        handle: its path there.
        size_bytes: how long it is.
        shown: its URI, without secrets.
    """

    system: pafs.FileSystem = field(compare=False)
    handle: str
    size_bytes: int
    shown: str

    def __str__(self) -> str:
        return self.shown

    @property
    def name(self) -> str:
        """Last part of its path."""
        return PurePosixPath(self.handle).name

    @property
    def known_bytes(self) -> int:
        """How long it is, as the listing says."""
        return self.size_bytes

    @property
    def patience(self) -> int:
        """How many are best opened at a time."""
        return _REQUESTS

    def open(self) -> pa.NativeFile:
        """Open it for reading, see ``StoredFile``."""
        return self.system.open_input_file(self.handle)


def each_of(work: Callable[[_T], _S], items: Sequence[_T], patience: int) -> list[_S]:
    """Return what is made of each item, in their order, of so many at a time."""
    if min(len(items), patience) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(len(items), patience)) as pool:
        return list(pool.map(work, items))


def each_of_shared(work: Callable[[_T], _S], items: Sequence[_T], patience: int) -> list[_S]:
    """Return what is made of each item, as ``each_of`` does; where there are several processes each item is one's work.

    Args:
        work: what it returns is told to the other processes.
        items: the same in all processes.
        patience: how many are worked on at a time, in each process.
    """
    world = this_process()
    if world.alone:
        return each_of(work, items, patience)
    if len(items) < world.size:
        return world.first_does(lambda: each_of(work, items, patience))
    found = world.gather_objects(each_of(work, items[world.rank :: world.size], patience))
    return [found[number % world.size][number // world.size] for number in range(len(items))]
