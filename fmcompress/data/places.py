"""Where data are looked for: folders of this machine, or of a file system that a URI names."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote

from fmcompress.data.stored_files import LocalFile, RemoteFile, StoredFile
from fmcompress.errors import DataError
from fmcompress.files import is_uri, local_path, without_secrets

if TYPE_CHECKING:
    import pyarrow.fs as pafs

_P = TypeVar("_P", bound=PurePath)
_MAGIC = re.compile(r"[*\[]")


class Place(Protocol[_P]):
    """What a path, a folder or a glob stands for.

    Attributes:
        base: the path or the folder; of a glob the folders before the first that is a pattern.
    """

    @property
    def base(self) -> _P: ...  # noqa: D102

    def matches(self) -> list[_P]:
        """Return the files and folders that are meant, in the order of their names.

        Raises:
            DataError: they cannot be looked for.
        """

    def is_folder(self, path: _P) -> bool:
        """Return whether something is a folder."""

    def files_below(self, folder: _P) -> list[_P]:
        """Return the files in a folder and below, in the order of their names."""

    def stored(self, path: _P) -> StoredFile:
        """Return a file."""


def place_of(name: str | Path) -> Place[Path] | Place[PurePosixPath]:
    """Return what a path, a folder, a glob or a URI stands for.

    Raises:
        DataError: it is a URI of a file system that is not known.
        UsageError: it is a URI of a file of another machine.
    """
    if not is_uri(name):
        return LocalPlace.of(Path(name))
    if str(name).partition("://")[0].lower() == "file":
        return LocalPlace.of(local_path(name))
    return RemotePlace.of(str(name))


@dataclass(frozen=True)
class LocalPlace:
    """Files of this machine, see ``Place``."""

    path: Path
    base: Path

    @classmethod
    def of(cls, path: Path) -> LocalPlace:
        """Return what a path stands for."""
        if path.exists() or not glob.has_magic(str(path)):
            return cls(path, path)
        fixed = [glob.has_magic(part) for part in path.parts]
        return cls(path, Path(*path.parts[: fixed.index(True)]))

    def matches(self) -> list[Path]:
        """Return the files and folders that are meant."""
        if self.base == self.path:
            return [self.path] if self.path.exists() else []
        return sorted(Path(name) for name in glob.glob(str(self.path), recursive=True))

    def is_folder(self, path: Path) -> bool:
        """Return whether something is a folder."""
        return path.is_dir()

    def files_below(self, folder: Path) -> list[Path]:
        """Return the files in a folder and below."""
        return [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def stored(self, path: Path) -> LocalFile:
        """Return a file."""
        return LocalFile(path)


@dataclass(frozen=True)
class RemotePlace:
    """Files of a file system that a URI names, see ``Place``.

    Attributes:
        uri: as it was given.
        shown: of the base, without secrets.
        base: path in the file system.
        pattern: what follows it, part by part.
        system: the file system.
    """

    uri: str
    shown: str
    base: PurePosixPath
    pattern: Sequence[str]
    system: pafs.FileSystem
    _found: dict[str, pafs.FileInfo] = field(default_factory=dict)

    @classmethod
    def of(cls, uri: str) -> RemotePlace:
        """Return what a URI stands for, of which the file system is opened.

        Raises:
            DataError: it cannot be opened.
        """
        from fmcompress.data.file_systems import open_system

        named, question, options = uri.partition("?")
        scheme, colon, path = named.partition("://")
        parts = path.rstrip("/").split("/")
        fixed = next((number for number, part in enumerate(parts) if number and _MAGIC.search(part)), len(parts))
        base = scheme + colon + "/".join(parts[:fixed])
        system, inside = open_system(base + question + options)
        return cls(uri, without_secrets(base), PurePosixPath(inside), [unquote(part) for part in parts[fixed:]], system)

    def matches(self) -> list[PurePosixPath]:
        """Return the files and folders that are meant, asked for level by level."""
        from fmcompress.data.file_systems import reaching

        with reaching(self.uri):
            found = self._existing([self.base])
            for number, part in enumerate(self.pattern):
                folders = [path for path in found if self.is_folder(path)]
                if part == "**":
                    last = number == len(self.pattern) - 1
                    below = [path for folder in folders for path in self._below(folder, recursive=True)]
                    found = [*folders, *(path for path in below if last or self.is_folder(path))]
                elif _MAGIC.search(part):
                    each = [path for folder in folders for path in self._below(folder, recursive=False)]
                    found = [path for path in each if _fits(path.name, part)]
                else:
                    found = self._existing([folder / part for folder in folders])
            if not found and not self.pattern:
                self._check_bucket()
        return sorted(dict.fromkeys(found))

    def is_folder(self, path: PurePosixPath) -> bool:
        """Return whether something that was found is a folder."""
        import pyarrow.fs

        return bool(self._found[str(path)].type == pyarrow.fs.FileType.Directory)

    def files_below(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """Return the files in a folder and below."""
        from fmcompress.data.file_systems import reaching

        with reaching(self.uri):
            below = self._below(folder, recursive=True)
        return sorted(path for path in below if not self.is_folder(path))

    def stored(self, path: PurePosixPath) -> RemoteFile:
        """Return a file that was found."""
        info = self._found[str(path)]
        below = path.relative_to(self.base).as_posix()
        return RemoteFile(
            self.system, info.path, info.size or 0, self.shown if below == "." else f"{self.shown}/{below}"
        )

    def _existing(self, paths: Sequence[PurePosixPath]) -> list[PurePosixPath]:
        import pyarrow.fs

        infos = self.system.get_file_info([str(path) for path in paths])
        return self._noted(info for info in infos if info.type != pyarrow.fs.FileType.NotFound)

    def _below(self, folder: PurePosixPath, *, recursive: bool) -> list[PurePosixPath]:
        import pyarrow.fs

        return self._noted(self.system.get_file_info(pyarrow.fs.FileSelector(str(folder), recursive=recursive)))

    def _noted(self, infos: Iterable[pafs.FileInfo]) -> list[PurePosixPath]:
        paths = []
        for info in infos:
            paths.append(PurePosixPath(info.path))
            self._found[str(paths[-1])] = info
        return paths

    def _check_bucket(self) -> None:
        bucket = self.base.parts[0] if self.base.parts else ""
        if bucket not in ("", "/") and not self._existing([PurePosixPath(bucket)]):
            raise DataError(f"{self.shown}: there is no bucket {bucket!r}")


def _fits(name: str, pattern: str) -> bool:
    """Return whether a name is meant by a pattern; one with a dot before it only if that has one too, as in shells."""
    return fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
