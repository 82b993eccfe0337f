"""Which rows each of several processes reads."""

from collections.abc import Sequence

import numpy as np

_UNEVEN = 0.02
"""Share of a part by which it may be longer or shorter, so that it ends where a chunk ends."""


def part_of(starts: Sequence[int], rows: range, rank: int, size: int) -> range:
    """Return the rows of one of several parts, which follow each other and are all rows together.

    Args:
        starts: first row of each chunk, in ascending order.
        rows: numbers of the rows that are parted.
        rank: which part, counted from 0.
        size: how many there are.
    """
    first, stop = (_cut(starts, rows, number, size) for number in (rank, rank + 1))
    return range(first, stop)


def _cut(starts: Sequence[int], rows: range, number: int, size: int) -> int:
    """Return where a part begins: where a chunk does that begins near by, or else between its rows."""
    if number in (0, size):
        return rows.stop if number else rows.start
    even = rows.start + len(rows) * number // size
    place = int(np.searchsorted(starts, even))
    near = [start for start in starts[max(0, place - 1) : place + 1] if abs(start - even) * size <= _UNEVEN * len(rows)]
    return min(near, key=lambda start: abs(start - even), default=even)
