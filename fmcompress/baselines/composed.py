"""Embeddings that are computed from something smaller than a table: what DFM, QR, MD and DHE share.

Each is built in one or several forms, as large as a budget allows, and trained whole on top of a factorization machine
whose linear weights are int8, with steps that are learned.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding, pad

from fmcompress.baselines.integers import INT8
from fmcompress.baselines.stored import IntegerRows, StoredFM, StoredTable
from fmcompress.baselines.task import Task
from fmcompress.baselines.tuning import StoredModule, TrainableTable, stored_module
from fmcompress.fm.schema import Schema
from fmcompress.types import Int64Array


class ComposedTable(TrainableTable):
    """A table whose rows are computed, each category of a batch once.

    Attributes:
        ends: last row + 1 of each field, int64 (fields,).
    """

    ends: Tensor

    def __init__(self, schema: Schema) -> None:
        """Keep where each field begins and ends."""
        super().__init__()
        self.schema = schema
        self.register_buffer("ends", torch.from_numpy(schema.offsets + schema.cardinalities), persistent=False)

    @abstractmethod
    def compose(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (n, columns), of row numbers from small to large, int64 (n,)."""

    def forward(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows, float32 (rows, n, columns), of row numbers, int64 (rows, n), of any fields."""
        distinct, places = torch.unique(rows, return_inverse=True)
        missing = int(distinct[-1] == self.schema.categories)
        vectors = self.compose(distinct[: len(distinct) - missing], sparse=sparse)
        return embedding(places, pad(vectors, (0, 0, 0, missing)))

    def by_field(self, rows: Tensor) -> list[Tensor]:
        """Return row numbers from small to large, int64 (n,), field by field."""
        ends = torch.searchsorted(rows, self.ends).tolist()
        return [rows[start:end] for start, end in pairwise([0, *ends])]

    def every_row(self) -> Tensor:
        """Return all row numbers, int64 (categories,)."""
        return torch.arange(self.schema.categories, device=self.ends.device)


@dataclass(frozen=True)
class Form:
    """A way to build the embeddings of a baseline.

    Attributes:
        variant: which of the baseline's ways this is: ``product``.
        name: what it is, for people: ``QR, 8 collisions, product``.
        begin: makes the model in training, with the first numbers drawn from the seed.
    """

    variant: str
    name: str
    begin: Callable[[], StoredModule]


def on_source(task: Task, table: Callable[[], TrainableTable]) -> Callable[[], StoredModule]:
    """Return what makes a model with linear weights of the source, in int8, and embeddings that ``table`` makes."""
    return lambda: stored_module(task.source, task.counts, table())


def largest_that_fits(
    sizes: Sequence[int], stored: Callable[[int], StoredTable], task: Task, budget_bytes: int
) -> int | None:
    """Return the first size of which a file is within a budget; None where there is none.

    Args:
        sizes: from those of large files to those of small ones.
        stored: returns embeddings of such a size as a file holds them, of any numbers.
        task: has the fields.
        budget_bytes: what the file must not exceed.
    """
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        if bytes_with(stored(sizes[middle]), task.source.schema) <= budget_bytes:
            high = middle
        else:
            low = middle + 1
    return sizes[low] if low < len(sizes) else None


def bytes_with(embeddings: StoredTable, schema: Schema) -> int:
    """Return the size of a file of embeddings and of linear weights in int8."""
    codes, steps = np.zeros((schema.categories, 1), np.int8), np.ones((len(schema), 1), np.float16)
    return StoredFM(schema, "sigmoid", 0.0, IntegerRows(schema, codes, steps, INT8), embeddings).file_bytes


def fields_of_rows(schema: Schema) -> Int64Array:
    """Return the number of each category's field, int64 (categories,)."""
    return np.repeat(np.arange(len(schema)), schema.cardinalities)
