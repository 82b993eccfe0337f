"""Some rows of a stored tensor, read without the rest of it."""

import math
from dataclasses import dataclass

import numpy as np

from fmcompress.checkpoints.random_file import ReadInto
from fmcompress.checkpoints.reading_errors import damaged
from fmcompress.checkpoints.stored_numbers import NumberType
from fmcompress.types import AnyArray

_MOST_SPARE = 2
"""How many numbers are read, at most, for each that is wanted."""

_MOST_AT_ONCE = 2**22
"""Numbers of a column that are read at once, with what lies between them."""


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a tensor stand.

    Attributes:
        kind: how a number is stored.
        start: byte of the first one.
        shape: shape of the tensor.
        strides: numbers from one to the next along each axis, of 0 or more.
    """

    kind: NumberType
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def dense(cls, kind: NumberType, start: int, shape: tuple[int, ...], *, fortran: bool = False) -> "Layout":
        """Return the layout of a tensor whose last axis is the fastest, or its first one."""
        strides, step = [], 1
        for size in shape if fortran else reversed(shape):
            strides.append(step)
            step *= size
        return cls(kind, start, shape, tuple(strides if fortran else reversed(strides)))


def check_rows(shape: tuple[int, ...], start: int, stop: int) -> None:
    """Check that a tensor of a shape has rows from ``start`` to ``stop``.

    Raises:
        IndexError: it has not.
    """
    if not shape or not 0 <= start <= stop <= shape[0]:
        raise IndexError(f"rows {start} to {stop} of a tensor of shape {shape}")


def read_rows(read_into: ReadInto, layout: Layout, start: int, stop: int) -> AnyArray:
    """Return rows of a tensor in memory of their own, (stop - start, …) of the dtype that its kind is decoded to.

    Args:
        read_into: reads the bytes of the file.
        layout: where its numbers are; the file is known to have them all.
        start: the first row.
        stop: the row behind the last one.

    Raises:
        IndexError: the tensor has no such rows.
        CheckpointError: the bytes cannot be read.
    """
    check_rows(layout.shape, start, stop)
    with damaged("a tensor cannot be read"):
        return layout.kind.decode(_elements(read_into, layout, start, stop)).reshape(stop - start, *layout.shape[1:])


def _elements(read_into: ReadInto, layout: Layout, start: int, stop: int) -> AnyArray:
    """Return the stored elements of rows, in order."""
    shape = (stop - start, *layout.shape[1:])
    if not math.prod(shape):
        return np.empty(0, layout.kind.stored)
    first = start * layout.strides[0]
    if _span(shape, layout.strides) <= _MOST_SPARE * math.prod(shape):
        return _taken(read_into, layout, first, shape, layout.strides).reshape(-1)
    # Its rows lie far apart inside, as those of a turned table do, which is read column by column.
    taken = np.empty(shape, layout.kind.stored)
    step = layout.strides[0]
    at_once = max(1, _MOST_AT_ONCE // max(step, 1))
    for column in np.ndindex(layout.shape[1:]):
        place = first + sum(index * step for index, step in zip(column, layout.strides[1:], strict=True))
        for row in range(0, shape[0], at_once):
            size = min(at_once, shape[0] - row)
            part = _taken(read_into, layout, place + row * step, (size,), (step,))
            taken[(slice(row, row + size), *column)] = part
    return taken.reshape(-1)


def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """Return the numbers from the first of a tensor to its last, both counted."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))


def _taken(
    read_into: ReadInto, layout: Layout, first: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> AnyArray:
    """Return the elements of a view, of its shape, that starts at element ``first``."""
    elements = np.empty(_span(shape, strides), layout.kind.stored)
    read_into(layout.start + first * elements.itemsize, elements.view(np.uint8))
    steps = tuple(step * elements.itemsize for step in strides)
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(elements, shape, steps))
