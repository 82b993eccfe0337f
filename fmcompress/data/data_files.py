"""Files of data: found by a path, a folder, a glob or a URI; folders ``key=value`` say what rows have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePath
from typing import Any, TypeVar
from urllib.parse import unquote

from fmcompress.data.file_kinds import COMPRESSED_SUFFIXES, kind_of
from fmcompress.data.places import Place, place_of
from fmcompress.data.stored_files import StoredFile, each_of
from fmcompress.errors import DataError
from fmcompress.files import without_secrets

_P = TypeVar("_P", bound=PurePath)

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
CSV_SUFFIXES = (".csv", ".tsv")
TEXT_SUFFIXES = (".libfm", ".libsvm", ".svm", ".svmlight")
_LOOKED_FOR = (PARQUET_SUFFIXES, CSV_SUFFIXES, TEXT_SUFFIXES)
"""What is looked for in a folder: the first kind of which there are files."""

_NO_VALUES = ("__HIVE_DEFAULT_PARTITION__", "")
_SHOWN_FILES = 3


@dataclass(frozen=True)
class DataFile:
    """A file of data; ``str`` names it in messages.

    Attributes:
        stored: where it is.
        keys: of the folders ``key=value`` on its path, and their values; None where one says that there is none.
        below: those of them that lie below the folder or the glob that was asked for.
    """

    stored: StoredFile
    keys: Mapping[str, str | None]
    below: frozenset[str]

    def __str__(self) -> str:
        return str(self.stored)

    @property
    def name(self) -> str:
        """Last part of its path."""
        return self.stored.name


def find_files(path: str | Path) -> list[DataFile]:
    """Return the files that a path, a folder, a glob or a URI of these stands for, in the order of their names.

    Raises:
        DataError: there is none, or a URI's file system cannot be reached.
    """
    place: Place[Any] = place_of(path)
    return _files_of(place, without_secrets(path))


def _files_of(place: Place[_P], shown: str) -> list[DataFile]:
    found = place.matches()
    if not found:
        raise DataError(f"{shown}: no such file or folder")
    found = [one for one in found if not _is_hidden(one.relative_to(place.base))] or found
    paths = [path for one in found for path in (_data_in(place, one) if place.is_folder(one) else [one])]
    if not paths:
        raise DataError(_nothing_in(place, found[0], shown), hint=f"it looks for {', '.join(chain(*_LOOKED_FOR))}")
    return [_data_file(place, path) for path in dict.fromkeys(paths)]


def _data_file(place: Place[_P], path: _P) -> DataFile:
    below = _keys(path.parent.relative_to(place.base)) if place.base != path else {}
    return DataFile(place.stored(path), _keys(path.parent), frozenset(below))


def _keys(folder: PurePath) -> dict[str, str | None]:
    """Return the keys and values of the folders on a path, which URLs' escapes are resolved in."""
    pairs = [part.split("=", 1) for part in folder.parts if "=" in part[1:]]
    return {unquote(key): unquote(value) if value not in _NO_VALUES else None for key, value in pairs}


def _data_in(place: Place[_P], folder: _P) -> list[_P]:
    """Return the files of data in a folder and below; what begins with ``_`` or a dot is not, as in Spark."""
    paths = [path for path in place.files_below(folder) if not _is_hidden(path.relative_to(folder))]
    for suffixes in _LOOKED_FOR:
        found = [path for path in paths if _suffix(path) in suffixes]
        if found:
            return found
    stored = [place.stored(path) for path in paths]
    kinds = each_of(kind_of, stored, stored[0].patience) if stored else []
    return [path for path, kind in zip(paths, kinds, strict=True) if kind == "parquet"]


def _suffix(file: PurePath) -> str:
    """Return the suffix of a name, without that of a compression of text."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in COMPRESSED_SUFFIXES else "".join(suffixes[-1:])


def _is_hidden(file: PurePath) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in file.parts)


def _nothing_in(place: Place[_P], folder: _P, shown: str) -> str:
    """Return what a folder without data holds."""
    names = [path.relative_to(folder).as_posix() for path in place.files_below(folder)]
    if not names:
        return f"{shown}: the folder is empty, expected files of data"
    more = f" and {len(names) - _SHOWN_FILES:,} more" if len(names) > _SHOWN_FILES else ""
    return f"{shown}: the folder holds no data: it holds {', '.join(names[:_SHOWN_FILES])}{more}"
