"""Paths and URIs; files that appear whole or not at all."""

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from fmcompress.errors import OutputError, UsageError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
# What becomes of a URI in a path, which has no two slashes in a row.
_URI_AS_PATH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
# What may stand before an @ that is no secret: the container of abfs://container@account.
_CONTAINERS = ("abfs", "abfss")
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_uri(name: str | Path) -> bool:
    """Return whether a text is a URI, ``scheme://…``, not a path."""
    return isinstance(name, str) and _URI.match(name) is not None


def local_path(name: str | Path) -> Path:
    """Return the path of a file that is read or written as a whole: one of this machine.

    Raises:
        UsageError: it is a URI, but for ``file://``.
    """
    if not is_uri(name):
        return Path(name)
    scheme, _, rest = str(name).partition("://")
    host, _, path = rest.partition("/")
    if scheme.lower() == "file" and host in ("", "localhost"):
        return Path("/", unquote(path))
    raise UsageError(
        f"{without_secrets(name)} is a URI, expected a path of this machine", hint="by URI rows alone are read"
    )


def without_secrets(name: str | Path) -> str:
    """Return a path as it is, and a URI without a user, a password and options, for messages."""
    found = _URI.match(name) if isinstance(name, str) else None
    if found is None:
        return str(name)
    scheme, rest = found[1], found[2].partition("?")[0]
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and (":" in user or scheme.lower() not in _CONTAINERS):
        authority = host
    elif not at and "@" in path and not re.fullmatch(r"[^:]*(:\d+)?", authority):
        authority, slash, path = path.rpartition("@")[2].partition("/")  # a password with a slash in it
    return f"{scheme}://{authority}{slash}{path}"


def check_writable(path: Path, *, force: bool = False) -> None:
    """Raise now what ``replacing`` would raise at the end of a long job.

    Raises:
        OutputError: the folder is missing or read-only, ``path`` is a directory or a device, or it exists
            and ``force`` is not set.
    """
    try:
        _check_target(path, force=force)
    except OSError as error:
        raise _unwritable(path, error) from error


def check_apart(output: Path, inputs: Iterable[str | Path]) -> None:
    """Raise if an output would take the place of a file that the job reads.

    Raises:
        OutputError: ``output`` is one of the inputs, under whatever name.
    """
    for source in inputs:
        try:
            same = output.samefile(source)
        except OSError:
            continue  # one of them is not there
        if same:
            raise OutputError(
                f"{output} is an input of this job ({source}) and cannot be its output", hint="name another output"
            )


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends without an error.

    The bytes go to a temporary file in the same folder, are flushed to the disk and renamed, so that a
    reader sees the old file or the new one, never a part. After an error nothing is left behind. The
    permissions follow the umask; through a symbolic link, the file that it points to is replaced.

    Raises:
        OutputError: whatever ``check_writable`` finds, or the system refuses to write, for instance on a
            full disk; every OSError in the block counts as such a refusal.
    """
    check_writable(path, force=force)
    target = Path(os.path.realpath(path))
    # Not named after the target: a name of the greatest possible length leaves no room for a suffix.
    temporary = target.parent / f".fmcompress-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_target(path, force=force)  # somebody else may have written it meanwhile
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _check_target(path: Path, *, force: bool) -> None:
    folder = Path(os.path.realpath(path)).parent
    if _URI_AS_PATH.match(str(path)) and not folder.is_dir():
        shown = without_secrets(str(path).replace(":/", "://", 1))
        raise OutputError(f"{shown} is a URI, expected a path: files are written on this machine")
    if path.is_dir():
        raise OutputError(f"{path} is a directory, expected a file to write", hint="add a file name")
    if not folder.is_dir():
        raise OutputError(f"{path} cannot be written: there is no folder {folder}", hint="create the folder first")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is a device or a pipe, expected a file to write")
    if path.exists() and not force:
        raise OutputError(f"{path} exists", hint="pass --force to replace it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path} cannot be written: no permission to write in {folder}")


def _unwritable(path: Path, error: OSError) -> OutputError:
    if error.errno in _NO_SPACE:
        return OutputError(
            f"{path} cannot be written: {error.strerror}", hint="free some space, or write to another disk"
        )
    return OutputError(f"{path} cannot be written: {error.strerror or error}")
