"""Models of libFM (``-save_model``), in text; a part that was turned off with ``-dim`` is absent.

#global bias W0
0.5
#unary interactions Wj
one number per row
#pairwise interactions Vj,f
dim numbers per row

The file tells neither fields nor task. Classification predicts by sigmoid when trained with SGD or SGDA, by probit with
ALS; regression clips predictions to the range of the training labels.
"""

from collections.abc import Mapping

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, from_flat, given_link
from fmcompress.checkpoints.files.number_text import NumberedLines, checked_parts, read_rows
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.types import Float32Array

_BIAS = b"#global bias W0"
_LINEAR = b"#unary interactions Wj"
_EMBEDDINGS = b"#pairwise interactions Vj,f"
_HEADERS = (_BIAS, _LINEAR, _EMBEDDINGS)


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file starts with a header of libFM's."""
    return file.head.startswith(_HEADERS)


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of libFM; ``given`` must say its fields and its link.

    Raises:
        CheckpointError: a line is wrong, parts disagree, it has no embeddings, fields or link are missing.
    """
    with file.path.open("rb") as opened:
        parts = _read_parts(NumberedLines(opened))
    embeddings = parts[_EMBEDDINGS]
    linear = parts.get(_LINEAR, np.zeros((len(embeddings), 1), np.float32))
    weights = checked_parts(parts.get(_BIAS, np.zeros((1, 1), np.float32)), linear, embeddings)
    return from_flat(agreed_fields(None, given.fields, len(embeddings)), *weights, given_link(given))


def _read_parts(lines: NumberedLines) -> Mapping[bytes, Float32Array]:
    parts: dict[bytes, Float32Array] = {}
    while lines.text:
        number = lines.number
        header = lines.take()
        if header not in _HEADERS or header in parts:
            expected = "expected a header of libFM that was not there before"
            raise CheckpointError(f"line {number:,} is {quoted(header)}, {expected}")
        if header == _EMBEDDINGS and lines.text and not lines.text.strip():
            raise CheckpointError("it has no embeddings: it is a linear model, trained with -dim 1,1,0")
        parts[header] = read_rows(lines.as_long_as(lambda text: not text.startswith(b"#")))
    if not len(parts.get(_EMBEDDINGS, ())):
        raise CheckpointError(f"it ends before {_EMBEDDINGS.decode()!r}", hint="the file was cut short: copy it again")
    return parts
