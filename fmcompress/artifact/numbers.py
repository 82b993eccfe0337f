"""Numbers as an artifact stores them: in fp16, in whole ones of 8 bits or fewer with a scale, or in fp32."""

from collections.abc import Sequence

import numpy as np

from fmcompress.fm.quantizer import FLOAT, INT8, Quantizer
from fmcompress.types import Float16Array, Float32Array, Int8Array

LARGEST_INT8 = 127

LARGEST_HALF = float(np.finfo(np.float16).max)


def as_stored(table: Float32Array, value_bytes: int) -> Float32Array:
    """Return a table as it is read back where its numbers have so many bytes, float32 of its shape."""
    if value_bytes == FLOAT:
        return table
    return decode_int8(*encode_int8(table)) if value_bytes == INT8 else decode_half(encode_half(table))


def tables_as_stored(tables: Sequence[Float32Array], quantizer: Quantizer) -> tuple[Float32Array, ...]:
    """Return the tables of a tier's embeddings as they are read back, float32 of their shapes."""
    if not quantizer.common_scale:
        return tuple(as_stored(table, quantizer.value_bytes) for table in tables)
    largest = quantizer.largest_integer
    scale = int8_scale(max(float(np.abs(table).max(initial=0)) for table in tables), largest)
    return tuple(decode_int8(int8_multiples(table, scale, largest), scale) for table in tables)


def encode_half(table: Float32Array) -> Float16Array:
    """Round float32 to float16, in the same shape; what lies outside its range becomes its largest number."""
    return np.clip(table, -LARGEST_HALF, LARGEST_HALF).astype(np.float16)


def decode_half(numbers: Float16Array) -> Float32Array:
    """Return float16 numbers as float32, in the same shape."""
    return numbers.astype(np.float32)


def encode_int8(table: Float32Array) -> tuple[Int8Array, np.float16]:
    """Round to whole multiples of a scale, halves to even.

    Args:
        table: finite numbers, float32 of any shape.

    Returns:
        The multiples, int8 of the table's shape, and the scale; 0 where all numbers are (almost) 0.
    """
    scale = int8_scale(float(np.abs(table).max(initial=0)))
    return int8_multiples(table, scale), scale


def int8_multiples(table: Float32Array, scale: np.float16, largest: int = LARGEST_INT8) -> Int8Array:
    """Return the whole multiples of a scale nearest to numbers, halves to even, int8 of the table's shape.

    Args:
        table: finite numbers, float32 of any shape.
        scale: what they are multiples of.
        largest: the largest multiple.
    """
    if scale == 0:
        return np.zeros(table.shape, dtype=np.int8)
    multiples = np.rint(table / np.float64(scale))
    return np.clip(multiples, -largest, largest).astype(np.int8)


def decode_int8(numbers: Int8Array, scale: np.float16) -> Float32Array:
    """Return the numbers that whole multiples of a scale stand for, float32 of the same shape."""
    return numbers.astype(np.float32) * np.float32(scale)


def int8_scale(largest: float, steps: int = LARGEST_INT8) -> np.float16:
    """Return the scale of a table whose largest number is ``largest``.

    It is the least one in fp16 with which so many steps reach that far. The smallest scales lie so far apart that
    rounded numbers may not come near the last, and would have a smaller scale if they were stored again: then it is
    that one.
    """
    scale = _half_above(largest / steps)
    while scale > 0:
        reached = min(round(largest / float(scale)), steps) * float(scale)
        smaller = _half_above(reached / steps)
        if smaller == scale:
            break
        scale = smaller
    return scale


def _half_above(number: float) -> np.float16:
    """Return the least fp16 number that is not below, or the largest that there is."""
    half = np.float16(min(number, LARGEST_HALF))
    if float(half) >= min(number, LARGEST_HALF):
        return half
    return np.float16(np.nextafter(half, np.float16(np.inf)))
