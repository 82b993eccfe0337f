"""File systems that URIs name: pyarrow's, and those that fsspec knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.fs

from fmcompress.errors import DataError
from fmcompress.files import without_secrets

_OF_PYARROW = ("s3", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
_ALIASES = {"s3a": "s3", "s3n": "s3"}
"""What Spark calls them."""
_EXAMPLES = ("file", *_OF_PYARROW, "memory", "http", "https", "sftp")
# What makes others of file systems, from files that say how, is none that rows lie in.
_NOT_OF_FSSPEC = ("reference", "dir", "filecache", "blockcache", "simplecache", "cached")
_TOLD_OPTIONS = ("endpoint_override", "region", "scheme")
_LEAST_SECRET = 4
_UNQUOTED = "/:@%+=,;~!$&'()*"


def open_system(uri: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Return the file system that a URI names, and the path in it.

    Credentials are looked for where pyarrow does, and fsspec's packages do: in the environment and files of their own.

    Args:
        uri: ``scheme://…``, with options behind ``?`` as pyarrow takes them; without a pattern.

    Raises:
        DataError: the scheme is not known, a package or a library is missing, the options are none, or the file system
            cannot be reached.
    """
    scheme, colon, rest = uri.partition("://")
    scheme = scheme.lower()
    scheme = _ALIASES.get(scheme, scheme)
    path, question, options = rest.partition("?")
    if not path.strip("/"):
        raise DataError(f"{without_secrets(uri)}: names no bucket and no folder")
    quoted = scheme + colon + quote(path, safe=_UNQUOTED) + question + options
    with reaching(uri):
        if scheme in _OF_PYARROW:
            system, inside = pyarrow.fs.FileSystem.from_uri(quoted)
            return system, inside
        return _of_fsspec(scheme, scheme + colon + rest, without_secrets(uri))


@contextmanager
def reaching(uri: str) -> Iterator[None]:
    """Turn what goes wrong in a file system into a DataError that names a URI, and tells no secrets of it."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:
        shown = without_secrets(uri)
        told = _without(first_line(error), uri, shown)
        if "ACCESS_DENIED" in told or isinstance(error, PermissionError):
            hint = "credentials are taken from the environment, as pyarrow and fsspec do"
            raise DataError(f"{shown}: cannot be reached: {told}", hint=hint) from None
        raise DataError(f"{shown}: cannot be reached: {told}") from None  # the cause may tell secrets


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _without(text: str, uri: str, shown: str) -> str:
    """Return a text without the secrets of a URI: its user, its password, and the values of most options."""
    text = text.replace(uri, shown)
    rest, _, options = uri.partition("://")[2].partition("?")
    given = (option.partition("=") for option in options.split("&"))
    secrets = [*re.split("[:@]", rest)[:-1], *(value for name, _, value in given if name not in _TOLD_OPTIONS)]
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET and secret not in shown:
            text = text.replace(secret, "…").replace(unquote(secret), "…")
    return text


def _of_fsspec(scheme: str, uri: str, shown: str) -> tuple[pyarrow.fs.FileSystem, str]:
    try:
        import fsspec
        import fsspec.registry
    except ImportError as error:
        known = ", ".join(("file", *_OF_PYARROW))
        raise DataError(
            f"{shown}: {scheme!r} is none of pyarrow's file systems, which are {known}",
            hint="the package fsspec knows more: pip install fsspec",
        ) from error
    if scheme not in fsspec.available_protocols() or scheme in _NOT_OF_FSSPEC or "::" in uri:
        raise DataError(
            f"{shown}: {scheme!r} is not a file system that is known; {', '.join(_EXAMPLES)} are some that are",
            hint="those of fsspec's packages are known once they are installed",
        )
    try:
        system, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise DataError(f"{shown}: a package is missing: {first_line(error)}") from error
    except (TypeError, KeyError) as error:  # what a file system must be given is not in the URI
        raise DataError(f"{shown}: cannot be reached: {first_line(error)}") from None
    return pyarrow.fs.PyFileSystem(_Handler(system)), path


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn what a package's file system raises, which may be anything, into an OSError."""
    try:
        yield
    except (OSError, pa.ArrowException):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {first_line(error)}") from error


class _Handler(pyarrow.fs.FSSpecHandler):  # type: ignore[misc]
    """File systems of fsspec, of which errors are OSErrors."""

    def get_file_info(self, paths: Sequence[str]) -> Any:
        with _as_os_error():
            return super().get_file_info(paths)

    def get_file_info_selector(self, selector: pyarrow.fs.FileSelector) -> Any:
        with _as_os_error():
            return super().get_file_info_selector(selector)

    def open_input_file(self, path: str) -> pa.NativeFile:
        with _as_os_error():
            if not self.fs.isfile(path):
                raise FileNotFoundError(path)
            return pa.PythonFile(_File(self.fs.open(path, mode="rb")), mode="r")


class _File:
    """An open file of fsspec, of which errors are OSErrors."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    @property
    def closed(self) -> bool:
        return bool(self._opened.closed)

    def read(self, size: int = -1) -> bytes:
        with _as_os_error():
            return bytes(self._opened.read(size))

    def seek(self, offset: int, whence: int = 0) -> int:
        with _as_os_error():
            return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        """Do nothing: it is read."""

    def close(self) -> None:
        self._opened.close()
