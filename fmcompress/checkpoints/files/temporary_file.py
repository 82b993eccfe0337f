"""Temporary files for tables that are too large for the memory, and cannot be read by rows where they are."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from fmcompress.checkpoints.random_file import RandomFile
from fmcompress.errors import CheckpointError

_HINT = "set the variable TMPDIR to a folder with more space"


def temporary_file(size_bytes: int) -> RandomFile:
    """Return a new file without a name, which is gone when nobody has it.

    Args:
        size_bytes: how much will be written to it.

    Raises:
        CheckpointError: the folder of temporary files has not so much space.
    """
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size_bytes > free:
        raise CheckpointError(
            f"its table takes {size_bytes:,} bytes, but the folder of temporary files, {folder}, has {free:,} left",
            hint=_HINT,
        )
    with writing(), tempfile.TemporaryFile() as file:
        return RandomFile(file)


@contextmanager
def writing() -> Iterator[None]:
    """Turn a refusal of the system to write a temporary file into a CheckpointError."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"its table cannot be written to the folder of temporary files, {tempfile.gettempdir()}: "
            f"{error.strerror or error}",
            hint=_HINT,
        ) from error
