"""How files store numbers: plain, and in the short floats that numpy does not know, bfloat16 and those of 8 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmcompress.types import AnyArray, Float32Array


class StoredTensor:
    """The mark of a tensor in the tree of what a file holds; see ``tensor.FileTensor``."""

    __slots__ = ()


@dataclass(frozen=True)
class NumberType:
    """How the numbers of a tensor are stored.

    Attributes:
        stored: numpy type of the bytes, little-endian.
        decode: from stored elements, of that dtype, to numbers of the same shape.
        is_float: whether they are floats once they are decoded.
    """

    stored: str
    decode: Callable[[AnyArray], AnyArray]
    is_float: bool


def native(values: AnyArray) -> AnyArray:
    """Return an array of any shape and dtype in the byte order of this machine."""
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _plain(stored: str) -> NumberType:
    return NumberType(stored, native, np.dtype(stored).kind == "f")


def _from_bfloat16(elements: AnyArray) -> AnyArray:
    return (elements.astype(np.uint32) << 16).view(np.float32)


def _float8(exponent_bits: int, bias: int, *, infinite: bool = False, unsigned_zero: bool = False) -> NumberType:
    """Return the type of floats of 8 bits: a sign, an exponent, and a mantissa of what is left.

    Args:
        exponent_bits: size of the exponent.
        bias: what is taken from the exponent.
        infinite: whether the largest exponent means infinite and NaN, as in IEEE 754.
        unsigned_zero: whether what would be -0 is the only NaN; else the largest code of either sign is one.
    """
    mantissa_bits = 7 - exponent_bits
    codes = np.arange(256)
    exponent = codes >> mantissa_bits & (1 << exponent_bits) - 1
    fraction = (codes & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
    values = np.where(exponent == 0, np.ldexp(fraction, 1 - bias), np.ldexp(1 + fraction, exponent - bias))
    if infinite:
        largest = exponent == (1 << exponent_bits) - 1
        values = np.where(largest, np.where(fraction == 0, np.inf, np.nan), values)
    elif not unsigned_zero:
        values[127::128] = np.nan
    values = np.where(codes < 128, values, -values)
    if unsigned_zero:
        values[128] = np.nan
    table: Float32Array = values.astype(np.float32)
    return NumberType("|u1", table.__getitem__, is_float=True)


NUMBER_TYPES = {
    **{f"float{bits}": _plain(f"<f{bits // 8}") for bits in (16, 32, 64)},
    **{f"int{bits}": _plain(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": _plain(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    "bool": _plain("|b1"),
    "bfloat16": NumberType("<u2", _from_bfloat16, is_float=True),
    "float8_e4m3fn": _float8(4, 7),
    "float8_e4m3fnuz": _float8(4, 8, unsigned_zero=True),
    "float8_e5m2": _float8(5, 15, infinite=True),
    "float8_e5m2fnuz": _float8(5, 16, unsigned_zero=True),
}
"""By the names that torch has for them."""
