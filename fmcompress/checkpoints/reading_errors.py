"""What a damaged file makes Python raise, turned into one line about the file."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from safetensors import SafetensorError

from fmcompress.errors import CheckpointError

_LONGEST_QUOTE = 80

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
            f"{what} ({shortened(reason)})",
            hint="the file is damaged or was cut short: copy or save it again",
        ) from error


def quoted(text: str) -> str:
    """Return text of a file for a message: on one line, escaped where it is not plain, never too long."""
    plain = text.isascii() and text.isprintable() and " " not in text and len(text) <= _LONGEST_QUOTE
    return text if plain else shortened(repr(text))


def shortened(text: str) -> str:
    """Return ``text``, cut to the length that a message can bear."""
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
