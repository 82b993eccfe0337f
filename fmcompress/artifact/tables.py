"""Tables of numbers as they are stored: in fp16, or in int8 with a scale.

A number in int8 is a whole one from -127 to 127, and stands for itself times the scale, an fp16 number.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import TableLayout

LARGEST_INT8 = 127

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Bytes = npt.NDArray[np.uint8]

_LARGEST_HALF = float(np.finfo(np.float16).max)


def write_table(table: Floats, place: TableLayout, values: Halves, codes: Bytes) -> None:
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


def read_table(place: TableLayout, values: Halves, codes: Bytes) -> Floats:
    """Return a table from its place: the inverse of ``write_table``, after its rounding."""
    if place.scale is None:
        return decode_half(values[place.rows]).reshape(place.shape)
    return decode_int8(codes[place.rows].view(np.int8), values[place.scale]).reshape(place.shape)


def encode_half(table: Floats) -> Halves:
    """Round to fp16; what lies outside its range becomes its largest number."""
    return np.clip(table, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)


def decode_half(numbers: Halves) -> Floats:
    """Return fp16 numbers in fp32."""
    return numbers.astype(np.float32)


def encode_int8(table: Floats) -> tuple[npt.NDArray[np.int8], np.float16]:
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


def decode_int8(numbers: npt.NDArray[np.int8], scale: np.float16) -> Floats:
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
