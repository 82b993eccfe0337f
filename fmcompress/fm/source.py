"""The file that a checkpoint was read from."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fmcompress.errors import CheckpointError

_CHUNK_BYTES = 2**20

State = tuple[tuple[str, int, int], ...]
"""Name, size and time of the last change of each file."""


@dataclass(frozen=True, eq=False)
class Source:
    """The file or directory that a checkpoint was read from.

    Attributes:
        tool: the tool that wrote it, such as ``fmcompress`` or ``pytorch-fm``.
        name: its file name, without folders.
    """

    tool: str
    name: str
    _digest: str | Future[str] = field(repr=False)

    @classmethod
    def of(cls, tool: str, path: Path, state: State) -> Source:
        """Return the source at ``path``, whose SHA-256 is taken beside what the caller does next.

        Args:
            tool: the tool that wrote it.
            path: where it is.
            state: what ``state_of`` returned before it was read.
        """
        beside = ThreadPoolExecutor(1)
        digest = beside.submit(_unchanged_sha256, path.absolute(), state)
        beside.shutdown(wait=False)
        return cls(tool, path.name, digest)

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes, in hex; of a directory, of the names and bytes of all its files.

        Raises:
            CheckpointError: it was changed while it was read.
        """
        return self._digest if isinstance(self._digest, str) else self._digest.result()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.tool, self.name))

    def __reduce__(self) -> tuple[type[Source], tuple[str, str, str]]:
        """Let it be pickled and copied."""
        return Source, (self.tool, self.name, self.sha256)


def state_of(path: Path) -> State:
    """Return what tells whether a file or a directory has been changed."""
    stats = [(file, file.stat()) for file in _files(path)]
    return tuple((file.relative_to(path).as_posix(), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def _unchanged_sha256(path: Path, state: State) -> str:
    try:
        digest = _sha256(path)
        if state_of(path) == state:
            return digest
    except OSError:
        pass
    raise CheckpointError(f"{path.name}: it was changed while it was read", hint="read it again")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    chunk = memoryview(bytearray(_CHUNK_BYTES))
    for file in _files(path):
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode(errors="surrogateescape") + b"\0")
        with file.open("rb", buffering=0) as opened:
            while size := opened.readinto(chunk):
                digest.update(chunk[:size])
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    return sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
