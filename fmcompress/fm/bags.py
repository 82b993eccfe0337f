"""Bags: the values of a field that has several of them in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.fm.pooling import Pooling
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array


@checked_arguments
@dataclass(frozen=True, eq=False)
class Bag:
    """The values of one field in some rows: those of row r are ``ids[starts[r]:starts[r + 1]]``.

    Attributes:
        starts: rising, from 0 to the number of values, int64 (rows + 1,).
        ids: category ids counted from 0; none is missing, none is PAD, int32 (values,).
        weights: c_j of each value, finite, float32 (values,); None where all are 1.
    """

    starts: Int64Array
    ids: Int32Array
    weights: Float32Array | None = None

    @classmethod
    def of_single(cls, ids: Int32Array) -> Bag:
        """Return the bag of a field with one value, or with none where it is -1, int32 (rows,)."""
        present = ids >= 0
        return cls(np.concatenate(([0], np.cumsum(present))), ids[present])

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.starts) - 1

    @property
    def counts(self) -> Int64Array:
        """Number of values of each row, int64 (rows,)."""
        return np.diff(self.starts)

    @property
    def rows(self) -> Int64Array:
        """Row of each value, int64 (values,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    def coefficients(self, pooling: Pooling) -> tuple[Float32Array, Float32Array]:
        """Return what each value's embedding and linear weight are multiplied by, float32 (values,) each."""
        counts = self.counts
        embedding, linear = (np.repeat(scale, counts).astype(np.float32) for scale in pooling.scales(counts))
        return (embedding, linear) if self.weights is None else (embedding * self.weights, linear * self.weights)

    def take(self, rows: Int64Array | BoolArray | slice) -> Bag:
        """Return the rows at these positions, int64 (n,), or where it is so, bool (rows,)."""
        if isinstance(rows, slice) and rows.step in (None, 1):
            starts = self.starts[rows.start or 0 : None if rows.stop is None else rows.stop + 1]
            if not len(starts):
                starts = self.starts[:1]
            values = slice(int(starts[0]), int(starts[-1]))
            return Bag(starts - starts[0], self.ids[values], None if self.weights is None else self.weights[values])
        chosen = np.arange(len(self))[rows]
        counts = self.counts[chosen]
        starts = np.concatenate(([0], np.cumsum(counts)))
        places = np.arange(starts[-1]) + np.repeat(self.starts[chosen] - starts[:-1], counts)
        return Bag(starts, self.ids[places], None if self.weights is None else self.weights[places])

    def without(self, wrong: BoolArray) -> Bag:
        """Return the bag without some of its values, bool (values,)."""
        kept = ~wrong
        before = np.concatenate(([0], np.cumsum(kept)))
        return Bag(before[self.starts], self.ids[kept], None if self.weights is None else self.weights[kept])


def concatenate_bags(bags: Sequence[Bag]) -> Bag:
    """Return the rows of several bags of one field as one."""
    ends = np.cumsum([0, *(len(bag.ids) for bag in bags)])
    starts = [bag.starts[1:] + end for bag, end in zip(bags, ends[:-1].tolist(), strict=True)]
    weighted = any(bag.weights is not None for bag in bags)
    weights = [np.ones(len(bag.ids), np.float32) if bag.weights is None else bag.weights for bag in bags]
    return Bag(
        np.concatenate([np.zeros(1, np.int64), *starts]),
        np.concatenate([bag.ids for bag in bags]),
        np.concatenate(weights) if weighted else None,
    )
