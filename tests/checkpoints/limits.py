"""What refusing a hostile file may take."""

import time
import tracemalloc

import pytest

from fmcompress.checkpoints import load_checkpoint
from fmcompress.errors import CheckpointError

from .samples import FIELDS

MEBIBYTE = 2**20


def refused(path, *, seconds=5.0, mebibytes=None, message=r""):
    """Check that a file is refused in one line, in little time and memory."""
    peak_bytes = 0
    if mebibytes is not None:
        tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(CheckpointError, match=rf"^{path.name}: .*{message}") as caught:
            load_checkpoint(path, fields=FIELDS)
    finally:
        if mebibytes is not None:
            peak_bytes = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert time.process_time() - start < seconds
    assert peak_bytes <= (mebibytes or 0) * MEBIBYTE
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
