"""Batches of rows, and which rows belong to training and which to validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from fmcompress.errors import DataError
from fmcompress.fm.bags import Bag, concatenate_bags
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array

if TYPE_CHECKING:
    import pyarrow as pa

Share = Literal["all", "most", "held-out"]
"""All rows; or all but every 20th, ``most``; or just every 20th, ``held-out``."""

_HELD_OUT_EVERY = 20


@dataclass(frozen=True)
class Fold:
    """Of a share of the rows those that are in one of several folds, or all others.

    A row belongs to the fold that its number gives by turns, so that rows that stand together are in different ones.

    Attributes:
        share: the share.
        number: of the fold, from 0.
        count: of all folds.
        without: whether the others are meant.
    """

    share: Share
    number: int
    count: int
    without: bool


Split = Share | Fold
"""Which rows are meant, by their number."""


def folds_of(rows: Int64Array, count: int, share: Share = "all") -> Int64Array:
    """Return the fold of rows of a share by their numbers, int64 (n,): its rows come by turns."""
    before = rows // _HELD_OUT_EVERY
    return {"all": rows, "most": rows - before, "held-out": before}[share] % count


@dataclass(frozen=True)
class Batch:
    """Some rows of the data.

    Attributes:
        ids: category ids counted from 0, ``MISSING`` where there is none, int32 (rows, ids), in the order of
            ``Schema.id_names``. An id that a field has for PAD is ``MISSING`` too. All of a field in ``bags`` are.
        labels: 0 or 1, or for a regression any numbers, float32 (rows,); NaN where no labels were asked for.
        values: of the numeric fields, 0 where one is missing, float32 (rows, numeric fields).
        kept: columns that are carried along as they are, of Arrow; None where none were asked for.
        bags: values of the fields that may have several in a row, ``Schema.poolings``, by name.
        weight: how much the mean over these rows counts in that over all rows of a step, of which several processes
            have a share each.
    """

    ids: Int32Array
    labels: Float32Array
    values: Float32Array = None  # type: ignore[assignment]
    kept: pa.RecordBatch | None = None
    bags: Mapping[str, Bag] = field(default_factory=dict)
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.values is None:
            object.__setattr__(self, "values", np.empty((len(self.ids), 0), dtype=np.float32))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of ids, labels, values and bags."""
        bags = sum(
            array.nbytes
            for bag in self.bags.values()
            for array in (bag.starts, bag.ids, bag.weights)
            if array is not None
        )
        return self.ids.nbytes + self.labels.nbytes + self.values.nbytes + bags

    def take(self, rows: Int64Array | BoolArray | slice) -> Batch:
        """Return the rows at these positions, int64 (n,), or where it is so, bool (rows,)."""
        kept = self.kept
        if kept is not None:
            kept = kept[rows] if isinstance(rows, slice) else kept.take(np.arange(len(self))[rows])
        bags = {name: bag.take(rows) for name, bag in self.bags.items()}
        return Batch(self.ids[rows], self.labels[rows], self.values[rows], kept, bags)


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one."""
    return Batch(
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
        bags={name: concatenate_bags([batch.bags[name] for batch in batches]) for name in batches[0].bags},
    )


def held_out(rows: Int64Array) -> BoolArray:
    """Return which of the rows with these numbers, int64 (n,), are every 20th, bool (n,)."""
    return np.asarray(rows % _HELD_OUT_EVERY == _HELD_OUT_EVERY - 1)


def split_rows(path: str | Path, total: int, split: Split) -> int:
    """Return how many of ``total`` rows belong to a split.

    Raises:
        DataError: there is none.
    """
    if total == 0:
        raise DataError(f"{path}: holds no rows")
    if split != "all" and total < _HELD_OUT_EVERY:
        raise DataError(
            f"{path}: its {total} rows are too few to hold every {_HELD_OUT_EVERY}th out for validation",
            hint="give validation rows with --valid",
        )
    return rows_in_split(range(total), split)


def rows_in_split(rows: range, split: Split) -> int:
    """Return how many of the rows with these numbers belong to a split."""
    if isinstance(split, Fold):
        every = _HELD_OUT_EVERY * split.count  # then all begins anew
        before = np.concatenate([[0], np.cumsum(_belong(np.arange(every), split))])
        at = [number // every * before[-1] + before[number % every] for number in (rows.start, rows.stop)]
        return int(at[1] - at[0])
    apart = rows.stop // _HELD_OUT_EVERY - rows.start // _HELD_OUT_EVERY
    return {"all": len(rows), "most": len(rows) - apart, "held-out": apart}[split]


def split_of(batch: Batch, start: int, split: Split) -> Batch:
    """Return the rows of a batch that belong to a split; its first row is number ``start`` of all rows."""
    return batch if split == "all" else batch.take(_belong(np.arange(start, start + len(batch)), split))


def _belong(rows: Int64Array, split: Split) -> BoolArray:
    """Return which of the rows with these numbers, int64 (n,), belong to a split, bool (n,)."""
    if isinstance(split, Fold):
        inside = folds_of(rows, split.count, split.share) == split.number
        return np.asarray(_belong(rows, split.share) & (inside != split.without))
    return {"all": np.ones(len(rows), bool), "most": ~held_out(rows), "held-out": held_out(rows)}[split]
