"""Files of data: found by a path, a folder or a glob; folders ``key=value`` say what their rows have in common."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import unquote

from fmcompress.data.file_kinds import COMPRESSED_SUFFIXES, kind_of
from fmcompress.errors import DataError

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")
CSV_SUFFIXES = (".csv", ".tsv")
TEXT_SUFFIXES = (".libfm", ".libsvm", ".svm", ".svmlight")
_LOOKED_FOR = (PARQUET_SUFFIXES, CSV_SUFFIXES, TEXT_SUFFIXES)
"""What is looked for in a folder: the first kind of which there are files."""

_NO_VALUES = ("__HIVE_DEFAULT_PARTITION__", "")
_SHOWN_FILES = 3


@dataclass(frozen=True)
class DataFile:
    """A file of data.

    Attributes:
        path: where it is.
        keys: of the folders ``key=value`` on its path, and their values; None where one says that there is none.
        below: those of them that lie below the folder or the glob that was asked for.
    """

    path: Path
    keys: Mapping[str, str | None]
    below: frozenset[str]

    def __str__(self) -> str:
        return str(self.path)


def find_files(path: str | Path) -> list[DataFile]:
    """Return the files that a path, a folder or a glob stands for, in the order of their names.

    Raises:
        DataError: there is none.
    """
    found = [Path(path)] if Path(path).exists() else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not found:
        raise DataError(f"{path}: no such file or folder")
    base = Path(path) if len(found) == 1 and found[0] == Path(path) else _fixed_part(Path(path))
    found = [one for one in found if not _is_hidden(one.relative_to(base))] or found
    files = [file for one in found for file in (_files_in(one) if one.is_dir() else [one])]
    if not files:
        raise DataError(_nothing_in(path, found[0]), hint=f"it looks for {', '.join(chain(*_LOOKED_FOR))}")
    return [_data_file(file, base) for file in files]


def _data_file(file: Path, base: Path) -> DataFile:
    keys, below = _keys(file.parent), _keys(file.parent.relative_to(base)) if base != file else {}
    return DataFile(file, keys, frozenset(below))


def _keys(folder: Path) -> dict[str, str | None]:
    """Return the keys and values of the folders on a path, which URLs' escapes are resolved in."""
    pairs = [part.split("=", 1) for part in folder.parts if "=" in part[1:]]
    return {unquote(key): unquote(value) if value not in _NO_VALUES else None for key, value in pairs}


def _fixed_part(pattern: Path) -> Path:
    """Return the folders of a glob before the first that is a pattern."""
    fixed = [glob.has_magic(part) for part in pattern.parts]
    return Path(*pattern.parts[: fixed.index(True)])


def _files_in(folder: Path) -> list[Path]:
    """Return the files of data in a folder and below; what begins with ``_`` or a dot is not, as in Spark."""
    files = [file for file in sorted(folder.rglob("*")) if not _is_hidden(file.relative_to(folder)) and file.is_file()]
    for suffixes in _LOOKED_FOR:
        found = [file for file in files if _suffix(file) in suffixes]
        if found:
            return found
    return [file for file in files if kind_of(file) == "parquet"]


def _suffix(file: Path) -> str:
    """Return the suffix of a name, without that of a compression of text."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in COMPRESSED_SUFFIXES else "".join(suffixes[-1:])


def _is_hidden(file: Path) -> bool:
    return any(part.startswith((".", "_")) and "=" not in part for part in file.parts)


def _nothing_in(path: str | Path, folder: Path) -> str:
    """Return what a folder without data holds."""
    names = [one.relative_to(folder).as_posix() for one in sorted(folder.rglob("*")) if one.is_file()]
    if not names:
        return f"{path}: the folder is empty, expected files of data"
    more = f" and {len(names) - _SHOWN_FILES:,} more" if len(names) > _SHOWN_FILES else ""
    return f"{path}: the folder holds no data: it holds {', '.join(names[:_SHOWN_FILES])}{more}"
