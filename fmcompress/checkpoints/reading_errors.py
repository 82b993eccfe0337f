"""What goes wrong when a file is read, in one line: damage that makes Python raise, and text of files in messages."""

import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from fmcompress.errors import CheckpointError

_LONGEST_QUOTE = 80
_MOST_LISTED = 3
_LONGEST_LIST = 300

_DAMAGE = (
    zipfile.BadZipFile,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,  # zipfile: an unknown compression or version
    OSError,
    OverflowError,
    RecursionError,
    RuntimeError,  # zipfile: an encrypted entry
    SafetensorError,
    TypeError,
    ValueError,  # with UnicodeDecodeError and JSONDecodeError
    struct.error,
    zlib.error,
)


@contextmanager
def damaged(what: str) -> Iterator[None]:
    """Turn what damaged bytes make the block raise into a CheckpointError: ``what (reason)``."""
    try:
        yield
    except _DAMAGE as error:
        reason = "".join(sign if sign.isprintable() else " " for sign in str(error) or type(error).__name__)
        raise CheckpointError(
            f"{what} ({_shortened(reason)})", hint="the file is damaged or was cut short: copy or save it again"
        ) from error


@contextmanager
def of_file(name: str) -> Iterator[None]:
    """Say in a CheckpointError of the block which of several files it is about: ``its file NAME: …``."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"its file {quoted(name)}: {error}", hint=error.hint) from error


def quoted(text: str | bytes) -> str:
    """Return text of a file for a message: on one line, escaped where it is not plain, never too long."""
    if isinstance(text, bytes):
        text = text.decode("ascii", errors="backslashreplace")
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_QUOTE
    return text if plain else _shortened(repr(text))


def listed(keys: Collection[str]) -> str:
    """Return the first keys for a message: ``'a', 'b', 'c' and 4 more``."""
    first = [quoted(key) for key in list(keys)[:_MOST_LISTED]]
    more = f" and {len(keys) - _MOST_LISTED} more" if len(keys) > _MOST_LISTED else ""
    return ", ".join(key if key[:1] in "'\"" else f"'{key}'" for key in first) + more


def listed_all(names: Collection[str]) -> str:
    """Return names for a message, all of them unless they are very many: ``'a', 'b', 'c' and 'd'``."""
    shown: list[str] = []
    for name in names:
        text = quoted(name)
        if sum(map(len, shown)) + len(text) > _LONGEST_LIST:
            return ", ".join(shown) + f" and {len(names) - len(shown)} more"
        shown.append(text if text[:1] in "'\"" else f"'{text}'")
    return ", ".join(shown[:-1]) + (" and " if shown[1:] else "") + "".join(shown[-1:])


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
