"""Models of xLearn in its binary form, all little-endian.

u64 length, score function          "fm"; "ffm" and "linear" are other models
u64 length, loss function           "cross-entropy" or "squared"
4 × u32                             rows, fields (0 but for FFM), K, A: values per weight, the optimizer's among them
u32, u32                            rows · A and rows · K' · A, where K' is K, made a multiple of 4
f32 (rows, A)                       linear weights, and what the optimizer keeps for them
f32 (A,)                            bias, in the same way
f32 (rows, A, K')                   embeddings, in the same way
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from fmcompress.checkpoints.reading_errors import damaged, quoted
from fmcompress.checkpoints.tools.xlearn.model import XLearnModel
from fmcompress.errors import CheckpointError

_SCORES = ("fm", "ffm", "linear")
_STARTS = tuple(len(score).to_bytes(8, "little") + score.encode() for score in _SCORES)
_LINKS = {"cross-entropy": "sigmoid", "squared": "identity"}
_SIZES = struct.Struct("<6I")
_LARGEST_NAME = 64
_BLOCK_VALUES = 2**20


def is_binary(head: bytes) -> bool:
    """Return whether a file starts as xLearn's binary form does."""
    return head.startswith(_STARTS)


def read_binary(path: Path) -> XLearnModel:
    """Read a model in binary form.

    Raises:
        CheckpointError: it is a linear or a field-aware model, has a loss that is not known, or is damaged.
    """
    with path.open("rb") as file:
        score, loss = _read_name(file), _read_name(file)
        if score != "fm":
            what = "a field-aware model (FFM)" if score == "ffm" else "a linear model"
            raise CheckpointError(f"it is {what} of xLearn: its score function is {quoted(score)!r}")
        if loss not in _LINKS:
            raise CheckpointError(f"its loss is {quoted(loss)}, expected one of {', '.join(_LINKS)}")
        with damaged("its sizes cannot be read"):
            rows, _, dim, kept, linear_values, values = _SIZES.unpack(file.read(_SIZES.size))
        padded = dim + -dim % 4
        end = file.tell() + 4 * (linear_values + kept + values)
        if not rows * dim * kept or (linear_values, values) != (rows * kept, rows * padded * kept):
            raise CheckpointError(f"it claims {rows:,} rows of {dim} in {linear_values:,} and {values:,} values")
        if path.stat().st_size != end:
            raise CheckpointError(
                f"it has {path.stat().st_size:,} bytes, expected {end:,}", hint="the file was cut short: copy it again"
            )
        linear = _read_weights(file, rows, kept, 1)[:, 0]
        bias = _read_weights(file, 1, kept, 1)
        return XLearnModel(float(bias[0, 0]), linear, _read_weights(file, rows, kept * padded, dim), _LINKS[loss])


def _read_name(file: BinaryIO) -> str:
    size = int.from_bytes(file.read(8), "little")
    name = file.read(min(size, _LARGEST_NAME))
    if len(name) != size:
        raise CheckpointError("its name of a score or a loss function cannot be read")
    return name.decode("ascii", errors="backslashreplace")


def _read_weights(file: BinaryIO, rows: int, width: int, dim: int) -> npt.NDArray[np.float32]:
    """Return the first ``dim`` values of each row of ``width``, float32 (rows, dim)."""
    weights = np.empty((rows, dim), np.float32)
    step = max(1, _BLOCK_VALUES // width)
    with damaged("its weights cannot be read"):
        for start in range(0, rows, step):
            block = weights[start : start + step]
            block[:] = np.fromfile(file, "<f4", len(block) * width).reshape(len(block), width)[:, :dim]
    return weights
