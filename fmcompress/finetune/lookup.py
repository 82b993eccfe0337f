"""Looking rows of tables up, and summing them, with gradients that are summed in a fixed order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from fmcompress.types import Int32Array


@dataclass(frozen=True)
class Values:
    """The values of bags, one by one.

    Attributes:
        columns: the field, or the tier of one, that each is in, int64 (values,).
        ids: their categories in it, int64 (values,).
    """

    columns: Tensor
    ids: Tensor

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.ids)


class Lookup(nn.Module):
    """Maps ids of some fields to rows of a table.

    Attributes:
        numbers: the rows of all categories, field after field, int32 (categories + 1[, subspaces]); the last are those
            of missing values.
        starts: first category of each field in them, int64 (fields,).
        starts_of_all: the same for all fields of the model, -1 for those that are not mapped, int64 (all fields,).
    """

    numbers: Tensor
    starts: Tensor
    starts_of_all: Tensor

    def __init__(
        self,
        numbers: Sequence[Int32Array],
        *,
        null: int,
        columns: Sequence[int] | None = None,
        fields: int = 0,
        persistent: bool = False,
    ) -> None:
        """Join the maps of fields.

        Args:
            numbers: the rows of each field's categories, int32 (cardinality[, subspaces]) each.
            null: the row of missing values.
            columns: the fields among all of the model; None where they are all.
            fields: number of all of them, where only some are mapped.
            persistent: whether the maps are part of ``state_dict``, since they change.
        """
        super().__init__()
        joined = np.concatenate(numbers).astype(np.int32, copy=False)
        nothing = np.full((1, *joined.shape[1:]), null, dtype=np.int32)
        starts = np.cumsum([0] + [len(part) for part in numbers])
        self._end = int(starts[-1])
        self.register_buffer("numbers", torch.from_numpy(np.concatenate([joined, nothing])), persistent=persistent)
        self.register_buffer("starts", torch.from_numpy(starts[:-1]), persistent=False)
        self._columns = None if columns is None else list(columns)
        of_all = np.full(fields if columns is not None else len(numbers), -1, dtype=np.int64)
        of_all[slice(None) if columns is None else self._columns] = starts[:-1]
        self.register_buffer("starts_of_all", torch.from_numpy(of_all), persistent=False)

    def replace(self, numbers: Sequence[Int32Array]) -> None:
        """Take other maps of the same fields, int32 (cardinality[, subspaces]) each."""
        joined = torch.from_numpy(np.concatenate(numbers).astype(np.int32, copy=False))
        self.numbers[:-1] = joined.to(self.numbers.device)

    def split(self) -> list[Int32Array]:
        """Return a copy of the fields' maps as they are now, int32 (cardinality[, subspaces]) each."""
        joined = self.numbers[:-1].cpu().numpy().copy()
        return np.split(joined, self.starts.cpu().numpy()[1:])

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows, int32 (rows, fields[, subspaces]), of ids, int64 (rows, all fields), -1 for missing ones."""
        return self.numbers[self.positions(ids)]

    def of_values(self, values: Values) -> Tensor:
        """Return the rows of values, int32 (values, 1[, subspaces]); those of other fields are as if missing."""
        return self.numbers[self.positions_of_values(values)]

    def positions(self, ids: Tensor) -> Tensor:
        """Return the place of ids in the joined map, int64 (rows, fields); missing ones have the last.

        Args:
            ids: int64 (rows, all fields).
        """
        own = ids if self._columns is None else ids[:, self._columns]
        return torch.where(own < 0, self._end, own + self.starts)

    def positions_of_values(self, values: Values) -> Tensor:
        """Return the place of values in the joined map, int64 (values, 1); those of other fields have the last."""
        starts = self.starts_of_all[values.columns]
        return torch.where(starts < 0, self._end, starts + values.ids)[:, None]


def sum_of_rows(table: Tensor, rows: Tensor, *, null: bool = False) -> Tensor:
    """Return the sum of ``table[rows]`` over the last axis of ``rows``, float32 (bags, columns).

    This is ``embedding_bag`` in mode "sum", with a backward pass that takes a tenth of its time.

    Args:
        table: float32 (n, columns).
        rows: int32 or int64 (bags, rows of each).
        null: whether the table's last row stands for nothing, and gets no gradient.
    """
    found: Tensor = _SumOfRows.apply(table, rows, null)  # type: ignore[no-untyped-call]
    return found


class _SumOfRows(torch.autograd.Function):
    """A row's gradient is the sum of the gradients of the bags that it is in."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, null: bool) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.size, ctx.null = len(table), null
        return embedding_bag(rows, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (rows,) = ctx.saved_tensors
        (gradient,) = gradients
        found = sum_by_row(rows, None, gradient, ctx.size)
        if ctx.null:
            found[-1] = 0
        return found, None, None


def with_norms(table: Tensor) -> Tensor:
    """Return a table with −½ ‖row‖² as one more column, float32 (n, columns + 1).

    It is a pass forward and a pass backward: with all codewords of a model, whatever the batch, more would be much of a
    step.

    Args:
        table: float32 (n, columns); the last row stands for missing values: it is 0, and gets no gradient.
    """
    found: Tensor = _WithNorms.apply(table)  # type: ignore[no-untyped-call]
    return found


class _WithNorms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor) -> Tensor:
        ctx.save_for_backward(table)
        found = table.new_empty(len(table), table.shape[1] + 1)
        found[:, :-1] = table
        torch.sum(table * table, dim=1, out=found[:, -1])
        found[:, -1] *= -0.5
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (table,) = ctx.saved_tensors
        (gradient,) = gradients
        # Twice one half: the sums are those of a product of the table with itself, bit by bit.
        half = gradient[:, -1:] * -0.5 * table
        found: Tensor = gradient[:, :-1] + half
        found += half
        found[-1] = 0
        return found


def sum_by_row(rows: Tensor, weights: Tensor | None, values: Tensor, size: int) -> Tensor:
    """Return for each row r the sum of weights[i, j] · values[i] over all (i, j) with rows[i, j] = r.

    The transposed product of a sparse matrix, float32 (size, columns); on a GPU an ``embedding_bag``, its bags sorted
    by row. The order of the additions is fixed, so that the same input gives the same bits.

    Args:
        rows: int32 or int64 (n, m), below ``size``.
        weights: float32 (n, m); None where all are 1.
        values: float32 (n, columns).
        size: number of rows.
    """
    if rows.device.type == "cpu":
        return _sparse_product(rows, weights, values, size)
    flat = rows.reshape(-1)
    order = torch.argsort(flat, stable=True)
    uses = torch.bincount(flat, minlength=size)
    bags = torch.div(order, rows.shape[1], rounding_mode="floor")
    of_bags = None if weights is None else weights.reshape(-1)[order]
    return embedding_bag(
        bags, values.contiguous(), torch.cumsum(uses, 0) - uses, mode="sum", per_sample_weights=of_bags
    )


def _sparse_product(rows: Tensor, weights: Tensor | None, values: Tensor, size: int) -> Tensor:
    """On a CPU scipy adds the values up as they come, which takes a fifth of the time of sorting them.

    Without weights all of them are 1.
    """
    from scipy.sparse import csr_array

    starts = np.arange(0, rows.numel() + 1, rows.shape[1], dtype=np.int32)
    factors = np.ones(rows.numel(), dtype=np.float32) if weights is None else weights.reshape(-1).numpy()
    matrix = csr_array((factors, rows.reshape(-1).to(torch.int32).numpy(), starts), shape=(len(rows), size))
    return torch.from_numpy(np.ascontiguousarray(matrix.T @ values.numpy()))
