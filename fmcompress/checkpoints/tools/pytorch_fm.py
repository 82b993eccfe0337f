"""Checkpoints of pytorch-fm (on PyPI: torchfm): a state_dict, or the whole model that its example saves.

    embedding.embedding.weight   (categories, dim)
    linear.fc.weight             (categories, 1)
    linear.bias                  (1,)

A whole model also has the first row of each field, as numpy arrays ``embedding.offsets`` and
``linear.offsets``.
"""

from collections.abc import Mapping

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given, agreed_fields, claim, from_flat
from fmcompress.checkpoints.files.tensor import read_float32
from fmcompress.checkpoints.reading_errors import quoted
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray

_EMBEDDINGS = "embedding.embedding.weight"
_LINEAR = "linear.fc.weight"
_BIAS = "linear.bias"
_OFFSETS = ("embedding.offsets", "linear.offsets")

_PACKAGE = "torchfm."
_CLASS = "torchfm.model.fm.FactorizationMachineModel"


def recognises(file: CheckpointFile) -> bool:
    """Return whether a file has a table where pytorch-fm has one."""
    return bool({_EMBEDDINGS, _LINEAR} & file.weights.tensors.keys())


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a model of pytorch-fm; a bare state_dict needs fields.

    Fields that a whole model tells are named ``field_0``, ``field_1``, … unless ``given.fields`` names them.

    Raises:
        CheckpointError: it is another model, shapes disagree, fields are missing or have other sizes.
    """
    found = file.weights
    if found.class_name is not None and found.class_name.startswith(_PACKAGE) and found.class_name != _CLASS:
        # HighOrderFactorizationMachineModel has the very same keys.
        raise CheckpointError(f"it is a {quoted(found.class_name)}, expected a {_CLASS}")
    weights = claim(found.tensors, (_EMBEDDINGS, _LINEAR, _BIAS))
    shape = weights[_EMBEDDINGS].shape
    for key, expected in ((_LINEAR, (*shape[:1], 1)), (_BIAS, (1,))):
        if len(shape) != 2 or weights[key].shape != expected:
            raise CheckpointError(
                f"{_EMBEDDINGS!r} has shape {shape} and {key!r} {weights[key].shape}, "
                f"expected (categories, dim) and {expected}"
            )
    rows = shape[0]
    return from_flat(
        agreed_fields(_own_fields(found.arrays, rows), given.fields, rows),
        bias=float(read_float32(weights, _BIAS)[0]),
        linear=read_float32(weights, _LINEAR)[:, 0],
        embeddings=read_float32(weights, _EMBEDDINGS),
    )


def _own_fields(arrays: Mapping[str, AnyArray], rows: int) -> Schema | None:
    found = [arrays[key] for key in _OFFSETS if key in arrays]
    if not found:
        return None
    offsets = found[0]
    if any(not np.array_equal(offsets, other) for other in found):
        raise CheckpointError(f"{_OFFSETS[0]!r} and {_OFFSETS[1]!r} disagree")
    ends = np.append(offsets, rows)
    if offsets.ndim != 1 or offsets.dtype.kind not in "iu" or ends[0] != 0 or (ends[1:] <= ends[:-1]).any():
        raise CheckpointError(f"{_OFFSETS[0]!r} are no first rows of fields in a table of {rows:,} rows")
    sizes = (ends[1:] - ends[:-1]).tolist()
    return Schema.of((f"field_{number}", size) for number, size in enumerate(sizes))
