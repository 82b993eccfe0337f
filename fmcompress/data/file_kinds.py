"""What a file is, told by its content: data of a kind that is read, or what it is instead and what to give."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fmcompress.data.stored_files import StoredFile
from fmcompress.errors import DataError
from fmcompress.text import shortened

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["parquet", "csv", "libsvm", "other"]

COMPRESSED_SUFFIXES = (".gz", ".zst", ".bz2", ".lz4")

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_CSV_NAME = re.compile(r"(?i)\.(csv|tsv)(\.\w+)?$")
_TEXT_NAME = re.compile(r"(?i)\.(libfm|libsvm|svm|svmlight)(\.\w+)?$")
_PARQUET_NAME = re.compile(r"(?i)\.(parquet|parq|pq)$")
_SNIFFED_BYTES = 65_536
_FIRST_BYTES = 4096
_MAGIC_BYTES = 8
_SHOWN_CHARACTERS = 60
_BINARY = re.compile(rb"[^\t\n\v\f\r -~\x80-\xff]")
_COMMENT = re.compile(rb"^\s*#.*$", re.MULTILINE)
_PAIRS = re.compile(rb"\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s+(?:qid|\d+):")
_NUMBER = re.compile(rb"\s*[+-]?[\d.]+(?:[eE][+-]?\d+)?\s*")
_DELIMITER = re.compile(rb"[,\t;|]")
_CSV = "save it as CSV or Parquet"


@dataclass(frozen=True)
class _Foreign:
    """Files that are no data that can be read.

    Attributes:
        start: what they begin with.
        what: what they are.
        remedy: what to give.
        somewhere: what else is at their begin.
    """

    start: bytes
    what: str
    remedy: str
    somewhere: bytes = b""


_FOREIGN = (
    _Foreign(b"PK\x03\x04", "an Excel workbook", _CSV, b"[Content_Types].xml"),
    _Foreign(b"PK\x03\x04", "an Excel workbook", _CSV, b"xl/"),
    _Foreign(b"PK\x03\x04", "a checkpoint of torch", "give rows: Parquet, CSV or libsvm text", b"/data.pkl"),
    _Foreign(b"PK\x03\x04", "an archive of numpy", "write its arrays as columns of Parquet or CSV", b".npy"),
    _Foreign(b"PK\x03\x04", "a zip archive", "unpack it, and give the file in it (gzip and zstd are read as they are)"),
    _Foreign(b"PK\x05\x06", "an empty zip archive", "give rows: Parquet, CSV or libsvm text"),
    _Foreign(b"\xd0\xcf\x11\xe0", "an Excel workbook", _CSV),
    _Foreign(b"ARROW1", "an Arrow or Feather file", "write Parquet: pandas.read_feather(FILE).to_parquet(OTHER)"),
    _Foreign(b"FEA1", "a Feather file", "write Parquet: pandas.read_feather(FILE).to_parquet(OTHER)"),
    _Foreign(b"\xff\xff\xff\xff", "a stream of Arrow", "write Parquet: pyarrow.parquet.write_table"),
    _Foreign(b"ORC", "an ORC file", "write Parquet: pandas.read_orc(FILE).to_parquet(OTHER)"),
    _Foreign(b"Obj\x01", "an Avro file", "write Parquet, as Spark and pandas do"),
    _Foreign(b"\x89HDF\r\n", "an HDF5 file", "write Parquet: pandas.read_hdf(FILE).to_parquet(OTHER)"),
    _Foreign(b"\x93NUMPY", "an array of numpy", "write it as columns of Parquet or CSV"),
    _Foreign(b"SQLite format 3", "an SQLite database", "write a table of it as Parquet or CSV"),
    _Foreign(b"PARE", "an encrypted Parquet file", "give it unencrypted"),
    _Foreign(b"\xfd7zXZ", "an xz archive", "unpack it (gzip and zstd are read as they are)"),
    _Foreign(b"7z\xbc\xaf", "a 7-Zip archive", "unpack it (gzip and zstd are read as they are)"),
    _Foreign(b"%PDF", "a PDF", "give rows: Parquet, CSV or libsvm text"),
    _Foreign(b"\xff\xfe", "text in UTF-16", "save it in UTF-8"),
    _Foreign(b"\xfe\xff", "text in UTF-16", "save it in UTF-8"),
    _Foreign(b"version https://git-lfs", "a pointer of Git LFS, not the file itself", "get the file: git lfs pull"),
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_SAFETENSORS = re.compile(rb"(?s).{8}\{\s*\"")
_TAR = slice(257, 262)


def kind_of(file: StoredFile) -> Kind:
    """Return what a file looks like; what cannot be read is ``other``."""
    return _kind_of(_start_of(file), file)


def _kind_of(found: _Start | None, file: StoredFile) -> Kind:
    if found is None or (not found.text and found.broken):
        return "other"
    if found.codec is None and found.text.startswith(b"PAR1"):
        return "parquet"
    if not found.text:
        return "libsvm" if _TEXT_NAME.search(file.name) else "csv" if _CSV_NAME.search(file.name) else "other"
    if _BINARY.search(found.text) or _foreign(found) is not None:
        return "other"
    return _kind_of_text(found.text, file.name)


def codec_of(file: StoredFile) -> str | None:
    """Return what a file is compressed by; None where it is not.

    Raises:
        OSError: it cannot be read.
    """
    with file.open() as opened:
        return _codec_of(opened.read(_MAGIC_BYTES))


def _codec_of(start: bytes) -> str | None:
    return next((codec for magic, codec in _CODECS.items() if start.startswith(magic)), None)


def open_text(file: StoredFile, codec: str | None) -> pa.NativeFile:
    """Open a file for reading from its begin on, decompressed.

    Args:
        file: the file.
        codec: what it is compressed by, see ``codec_of``.

    Raises:
        OSError: it cannot be read.
    """
    import pyarrow as pa

    opened = file.open()
    return opened if codec is None else pa.CompressedInputStream(opened, codec)


def readable_kind_of(file: StoredFile) -> Kind:
    """Return what a file looks like; what is known not to be read is an error.

    Raises:
        DataError: it is of another kind; the error says which, and what to give.
    """
    found = _start_of(file)
    kind = _kind_of(found, file)
    if found is None or kind != "other":
        return kind  # whoever opens it will say why it cannot be
    if found.codec is not None and found.broken and not found.text:
        raise DataError(f"{file}: is broken: it begins as {found.codec} does, and cannot be decompressed")
    foreign = _foreign(found)
    if foreign is None and not _PARQUET_NAME.search(file.name):
        foreign = _no_rows(found.text, file.name)
    if foreign is not None:
        inside = "" if found.codec is None else f", compressed by {found.codec}"
        raise DataError(
            f"{file}: is {foreign[0]}{inside}, expected rows in Parquet, CSV or libsvm text", hint=foreign[1]
        )
    return kind


@dataclass(frozen=True)
class _Start:
    """How a file begins.

    Attributes:
        text: its first bytes, decompressed.
        codec: what it is compressed by; None where it is not.
        broken: whether reading ended in an error.
    """

    text: bytes
    codec: str | None
    broken: bool


def _start_of(file: StoredFile) -> _Start | None:
    """Return how a file begins; None where it cannot be opened."""
    import pyarrow as pa

    try:
        opened = file.open()
    except OSError:
        return None
    codec, start = None, b""
    try:
        with opened:
            start = opened.read(_FIRST_BYTES)
            codec = _codec_of(start)
            if codec is None:
                more = b"" if start.startswith(b"PAR1") else opened.read(_SNIFFED_BYTES - _FIRST_BYTES)
                return _Start(start + more, None, broken=False)
            start = b""
            opened.seek(0)
            with pa.CompressedInputStream(opened, codec) as text:
                while len(start) < _SNIFFED_BYTES and (more := text.read(_FIRST_BYTES)):
                    start += more
    except (OSError, pa.ArrowInvalid):
        return _Start(start, codec, broken=True)  # what was read before it broke tells what it is
    return _Start(start, codec, broken=False)


def _kind_of_text(start: bytes, name: str) -> Kind:
    """Return whether text is CSV or libsvm: by its first lines, else by its name, else by what may part its columns."""
    lines = [line for line in _COMMENT.sub(b"", start).split(b"\n") if line.strip()][:2]
    if lines and _PAIRS.match(lines[0]):
        return "libsvm"
    if _CSV_NAME.search(name):
        return "csv"
    if _TEXT_NAME.search(name) or not lines or (len(lines) > 1 and _PAIRS.match(lines[1])):
        return "libsvm"
    if _DELIMITER.search(lines[0]):
        return "csv"
    return "libsvm" if _NUMBER.fullmatch(lines[0]) else "other"


def _foreign(found: _Start) -> tuple[str, str] | None:
    """Return what a file is and what to give in its place, if it is known not to be read."""
    packed = None if found.codec is None else _foreign_when_packed(found.text)
    return packed or _foreign_by_start(found.text) or _foreign_text(found.text)


def _foreign_when_packed(start: bytes) -> tuple[str, str] | None:
    if start.startswith(b"PAR1"):
        return "a Parquet file", "unpack it: Parquet is compressed inside"
    if start[_TAR] == b"ustar":
        return "a tar archive", "unpack it, and give the files in it"
    return ("compressed itself", "unpack it once") if start.startswith(tuple(_CODECS)) else None


def _foreign_by_start(start: bytes) -> tuple[str, str] | None:
    for one in _FOREIGN:
        if start.startswith(one.start) and one.somewhere in start:
            return one.what, one.remedy
    if _PICKLE.match(start):
        return "a pickle", "write Parquet: pandas.read_pickle(FILE).to_parquet(OTHER)"
    if _SAFETENSORS.match(start):
        return "a file of safetensors, which holds weights", "give rows: Parquet, CSV or libsvm text"
    return None


def _foreign_text(start: bytes) -> tuple[str, str] | None:
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"{", b"[")):
        how = "pandas.read_json(FILE, lines=True)" if text.startswith(b"{") else "pandas.read_json(FILE)"
        return "JSON", f"write Parquet: {how}.to_parquet(OTHER)"
    if text.startswith(b"<"):
        return "a page of HTML, or XML", "give rows: Parquet, CSV or libsvm text"
    return None


def _no_rows(start: bytes, name: str) -> tuple[str, str] | None:
    """Return what a file is that is called text, or is some, and is neither CSV nor libsvm text."""
    if not _BINARY.search(start):
        if not start.strip():
            return None
        line = shortened(start.strip().split(b"\n")[0].decode(errors="backslashreplace"), _SHOWN_CHARACTERS)
        return (
            f"text that begins with {line!r}",
            "CSV has commas, tabs, semicolons or bars between columns; libsvm text has lines such as 1 17:1 42:1",
        )
    if _CSV_NAME.search(name) or name.lower().endswith(".txt"):
        return "no text, as its name says: it holds bytes that are none", "save it in UTF-8 if it is in UTF-16"
    return None
