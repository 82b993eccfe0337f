"""Weights of numeric fields as they are stored: exactly, in fp32, field by field."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.frame import Frame
from fmcompress.fm.numeric_weights import NumericWeights

Floats = npt.NDArray[np.float32]


def encode_numeric(weights: NumericWeights, frame: Frame) -> Floats:
    """Return the numbers of the tensor: of each field w, then v unless it is linear only."""
    fields = zip(frame.schema.numeric, weights.linear, weights.embeddings, strict=True)
    parts = [part for field, w, v in fields for part in ([w], v[: 0 if field.linear_only else None])]
    return np.concatenate([np.empty(0), *parts]).astype("<f4")


def decode_numeric(numbers: Floats, frame: Frame) -> NumericWeights:
    """Return the weights of the tensor's numbers: the inverse of ``encode_numeric``."""
    fields = frame.schema.numeric
    embedded = np.array([not field.linear_only for field in fields], dtype=np.bool_)
    sizes = np.where(embedded, frame.dim + 1, 1)
    starts = np.array(list(accumulate(sizes.tolist(), initial=0))[:-1], dtype=np.int64)
    embeddings = np.zeros((len(fields), frame.dim), dtype=np.float32)
    embeddings[embedded] = numbers[starts[embedded, None] + np.arange(1, frame.dim + 1)]
    return NumericWeights(numbers[starts].astype(np.float32), embeddings)
