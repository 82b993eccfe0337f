"""Files of data: found by a path, a folder or a glob, and told apart by their content."""

import glob
from pathlib import Path
from typing import Literal

from fmcompress.errors import DataError

Kind = Literal["parquet", "text", "other"]

TEXT_SUFFIXES = (".libfm", ".libsvm", ".svm", ".svmlight")
"""Of the files of text that are looked for in a folder without Parquet files."""

_PARQUET = b"PAR1"
_SNIFFED_BYTES = 4096
_TEXT = bytes([*b"\t\n\v\f\r", *range(32, 127), *range(128, 256)])


def find_files(path: str | Path) -> list[Path]:
    """Return the files that a path, a folder or a glob stands for, in the order of their names.

    Raises:
        DataError: there is none.
    """
    found = [Path(path)] if Path(path).exists() else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not found:
        raise DataError(f"{path}: no such file or folder")
    files = [file for one in found for file in (_files_in(one) if one.is_dir() else [one])]
    if not files:
        raise DataError(f"{path}: the folder holds no .parquet file, and none of {', '.join(TEXT_SUFFIXES)}")
    return files


def kind_of(file: Path) -> Kind:
    """Return what a file looks like; what cannot be read is ``other``."""
    try:
        if not file.is_file():
            return "other"
        with file.open("rb") as opened:
            start = opened.read(_SNIFFED_BYTES)
    except OSError:
        return "other"  # whoever opens it will say why
    if start.startswith(_PARQUET):
        return "parquet"
    return "text" if start and not start.translate(None, delete=_TEXT) else "other"


def _files_in(folder: Path) -> list[Path]:
    parquet = sorted(folder.rglob("*.parquet"))
    return parquet or sorted(file for file in folder.rglob("*") if file.suffix in TEXT_SUFFIXES and file.is_file())
