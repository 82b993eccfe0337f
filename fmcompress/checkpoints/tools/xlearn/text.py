"""Models of xLearn in text (``setTXTModel``).

bias: 0.5
i_0: one number per row
v_0: dim numbers per row
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fmcompress.checkpoints.files.number_text import NumberedLines, read_rows
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.checkpoints.tools.xlearn.model import XLearnModel
from fmcompress.errors import CheckpointError

_START = re.compile(rb"bias: [^\n]{1,20}\ni_0: ")
_FIELD_AWARE = re.compile(rb"v_\d+_\d+:")


def is_text(head: bytes) -> bool:
    """Return whether a file starts as xLearn's text does."""
    return _START.match(head) is not None


def read_text(path: Path) -> XLearnModel:
    """Read a model in text.

    Raises:
        CheckpointError: a line is wrong or missing, or it is a linear or a field-aware model.
    """
    with path.open("rb") as file:
        lines = NumberedLines(file)
        bias = read_rows([(1, lines.take().removeprefix(b"bias:"))])
        linear = read_rows(_numbered(lines, b"i_"))
        if not lines.text:
            raise CheckpointError("it has no embeddings: it is a linear model of xLearn")
        if match := _FIELD_AWARE.match(lines.text):
            raise CheckpointError(f"it is a field-aware model (FFM): it also holds {match[0].decode()!r}")
        embeddings = read_rows(_numbered(lines, b"v_"))
        if lines.text:
            shown = quoted(lines.text.strip().decode("ascii", errors="backslashreplace"))
            raise CheckpointError(f"line {lines.number:,} is {shown}, expected 'v_{len(embeddings)}: …'")
    if bias.shape != (1, 1) or linear.shape != (len(embeddings), 1):
        raise CheckpointError(
            f"it has biases of shape {bias.shape}, linear weights of {linear.shape} and embeddings of "
            f"{embeddings.shape}, expected (1, 1), (rows, 1) and (rows, dim)"
        )
    return XLearnModel(float(bias[0, 0]), linear[:, 0], embeddings, link=None)


def _numbered(lines: NumberedLines, prefix: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers of lines ``i_0: …``, ``i_1: …`` and so on."""
    for row, (number, text) in enumerate(lines.as_long_as(lambda text: text.startswith(prefix))):
        name, _, numbers = text.partition(b":")
        if name != b"%s%d" % (prefix, row):
            shown = quoted(name.decode("ascii", errors="backslashreplace"))
            raise CheckpointError(f"line {number:,} is {shown}, expected '{prefix.decode()}{row}: …'")
        yield number, numbers
