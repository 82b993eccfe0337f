"""Tables of numbers as they are stored: in fp16, or in int8 with a scale; weights of numeric fields in fp32.

A number in int8 is a whole one from -127 to 127, and stands for itself times the scale, an fp16 number.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from fmcompress.artifact.frame import Frame
from fmcompress.artifact.layout import TableLayout
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.types import Float16Array, Float32Array, Int8Array, UInt8Array

LARGEST_INT8 = 127


_LARGEST_HALF = float(np.finfo(np.float16).max)


def write_table(table: Float32Array, place: TableLayout, values: Float16Array, codes: UInt8Array) -> None:
    """Store a table at its place.

    Args:
        table: numbers of the place's shape.
        place: where it lies.
        values: the artifact's values.
        codes: its codes.
    """
    if place.scale is None:
        values[place.rows] = encode_half(table).reshape(-1)
    else:
        numbers, values[place.scale] = encode_int8(table)
        codes[place.rows] = numbers.view(np.uint8).reshape(-1)


def read_table(place: TableLayout, values: Float16Array, codes: UInt8Array) -> Float32Array:
    """Return a table from its place: the inverse of ``write_table``, after its rounding."""
    if place.scale is None:
        return decode_half(values[place.rows]).reshape(place.shape)
    return decode_int8(codes[place.rows].view(np.int8), values[place.scale]).reshape(place.shape)


def encode_half(table: Float32Array) -> Float16Array:
    """Round to fp16; what lies outside its range becomes its largest number."""
    return np.clip(table, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)


def decode_half(numbers: Float16Array) -> Float32Array:
    """Return fp16 numbers in fp32."""
    return numbers.astype(np.float32)


def encode_int8(table: Float32Array) -> tuple[Int8Array, np.float16]:
    """Round to whole multiples of a scale, halves to even.

    Args:
        table: finite numbers.

    Returns:
        the multiples, int8 of the table's shape, and the scale; 0 where all numbers are (almost) 0.
    """
    scale = _scale(float(np.abs(table).max(initial=0)))
    if scale == 0:
        return np.zeros(table.shape, dtype=np.int8), scale
    multiples = np.rint(table / np.float64(scale))
    return np.clip(multiples, -LARGEST_INT8, LARGEST_INT8).astype(np.int8), scale


def decode_int8(numbers: Int8Array, scale: np.float16) -> Float32Array:
    """Return the numbers that whole multiples of a scale stand for."""
    return numbers.astype(np.float32) * np.float32(scale)


def _scale(largest: float) -> np.float16:
    """Return the scale of a table whose largest number is ``largest``.

    It is the least one in fp16 with which 127 steps reach that far. The smallest scales lie so far apart that rounded
    numbers may not come near 127, and would have a smaller scale if they were stored again: then it is that one.
    """
    scale = _half_above(largest / LARGEST_INT8)
    while scale > 0:
        reached = min(round(largest / float(scale)), LARGEST_INT8) * float(scale)
        smaller = _half_above(reached / LARGEST_INT8)
        if smaller == scale:
            break
        scale = smaller
    return scale


def _half_above(number: float) -> np.float16:
    """Return the least fp16 number that is not below, or the largest that there is."""
    half = np.float16(min(number, _LARGEST_HALF))
    if float(half) >= min(number, _LARGEST_HALF):
        return half
    return np.float16(np.nextafter(half, np.float16(np.inf)))


def encode_numeric(weights: NumericWeights, frame: Frame) -> Float32Array:
    """Return the numbers of the tensor: of each field w, then v unless it is linear only."""
    fields = zip(frame.schema.numeric, weights.linear, weights.embeddings, strict=True)
    parts = [part for field, w, v in fields for part in ([w], v[: 0 if field.linear_only else None])]
    return np.concatenate([np.empty(0), *parts]).astype("<f4")


def decode_numeric(numbers: Float32Array, frame: Frame) -> NumericWeights:
    """Return the weights of the tensor's numbers: the inverse of ``encode_numeric``."""
    fields = frame.schema.numeric
    embedded = np.array([not field.linear_only for field in fields], dtype=np.bool_)
    sizes = np.where(embedded, frame.dim + 1, 1)
    starts = np.array(list(accumulate(sizes.tolist(), initial=0))[:-1], dtype=np.int64)
    embeddings = np.zeros((len(fields), frame.dim), dtype=np.float32)
    embeddings[embedded] = numbers[starts[embedded, None] + np.arange(1, frame.dim + 1)]
    return NumericWeights(numbers[starts].astype(np.float32), embeddings)
