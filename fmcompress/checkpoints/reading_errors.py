"""What goes wrong when a file is read, in one line: damage that makes Python raise, and text of files in messages."""

import struct
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from fmcompress.errors import CheckpointError

_LONGEST_QUOTE = 80
_MOST_LISTED = 3

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


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
