"""A quantized factorization machine as a torch module: codes stand still, all numbers can be trained.

With q_i the decoded embedding, ½ (‖Σ q_i‖² − Σ ‖q_i‖²) needs no decoded embedding at all: the sums run over
codewords, and a codebook's last column −½‖codeword‖² makes ``embedding_bag`` sum the norms along.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, pad

from fmcompress.quantized import QuantizedField, QuantizedFM
from fmcompress.quantizer import subspace_bounds


class QuantizedModule(nn.Module):
    """The logit of a quantized factorization machine, differentiable in codebooks, raw rows and linear part."""

    def __init__(self, model: QuantizedFM, *, sparse: bool) -> None:
        """Take over the numbers of ``model``.

        Args:
            model: the quantized factorization machine.
            sparse: whether raw rows and linear weights get sparse gradients.
        """
        super().__init__()
        self.dim = model.dim
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = _Linear(model, sparse)
        columns: dict[int, list[int]] = {}
        for column, field in enumerate(model.fields):
            columns.setdefault(len(field.quantizer.codewords), []).append(column)
        self.groups = nn.ModuleList(
            _Coded(model, columns[subspaces]) if subspaces else _Raw(model, columns[subspaces], sparse)
            for subspaces in sorted(columns)
        )

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (rows,) of ids, int64 (rows, fields), -1 where a value is missing."""
        parts = [group(ids) for group in self._parts()]
        vectors = torch.stack([vectors for vectors, _ in parts]).sum(dim=0)
        scalars = torch.stack([self.bias + self.linear(ids), *(scalars for _, scalars in parts)]).sum(dim=0)
        return scalars + 0.5 * (vectors * vectors).sum(dim=1)

    def _parts(self) -> list[_Raw | _Coded]:
        return cast("list[_Raw | _Coded]", list(self.groups))

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.table, *(group.table for group in self._parts() if isinstance(group, _Raw))]

    def others(self) -> list[nn.Parameter]:
        """Return all other parameters."""
        tables = {id(table) for table in self.tables()}
        return [parameter for parameter in self.parameters() if id(parameter) not in tables]

    def load(self, model: QuantizedFM) -> None:
        """Take over the numbers of a model with the same quantizers and codes."""
        with torch.no_grad():
            self.bias.fill_(model.bias)
            for part in [self.linear, *self._parts()]:
                part.table.copy_(torch.from_numpy(part.join(model.fields)))

    def store(self, model: QuantizedFM) -> QuantizedFM:
        """Return ``model`` with the numbers as they are now."""
        tables: dict[int, tuple[npt.NDArray[np.float32], ...]] = {}
        for group in self._parts():
            tables.update(group.split(model.fields))
        linear = self.linear.split(model.fields)
        fields = tuple(
            QuantizedField(f.quantizer, tables[column], f.codes, linear[column], f.linear_codes, f.error)
            for column, f in enumerate(model.fields)
        )
        return QuantizedFM(model.schema, model.dim, model.link, self.bias.item(), fields)


class _Linear(nn.Module):
    """Σ w_i, from linear weights of each category or from codebooks; the table's last row is 0, for missing values."""

    def __init__(self, model: QuantizedFM, sparse: bool) -> None:
        super().__init__()
        self._sparse = sparse
        self.table = nn.Parameter(torch.from_numpy(self.join(model.fields)))
        numbers, start = [], 0
        for field, shape in zip(model.fields, model.schema.fields, strict=True):
            raw = field.quantizer.linear_raw
            numbers.append(start + (np.arange(shape.cardinality) if raw else field.linear_codes.astype(np.int64)))
            start += len(field.linear_table)
        self._lookup = _Lookup(numbers, null=start)

    def forward(self, ids: Tensor) -> Tensor:
        weights = embedding(self._lookup(ids), self.table, padding_idx=len(self.table) - 1, sparse=self._sparse)
        return weights.sum(dim=(1, 2))

    def join(self, fields: Sequence[QuantizedField]) -> npt.NDArray[np.float32]:
        return np.concatenate([*(field.linear_table for field in fields), np.zeros(1, np.float32)])[:, None]

    def split(self, fields: Sequence[QuantizedField]) -> list[npt.NDArray[np.float32]]:
        ends = np.cumsum([len(field.linear_table) for field in fields])
        return np.split(_numpy(self.table)[:-1, 0], ends[:-1])


class _Raw(nn.Module):
    """Fields with raw embeddings; the table's last row is 0, for missing values."""

    def __init__(self, model: QuantizedFM, columns: list[int], sparse: bool) -> None:
        super().__init__()
        self._sparse = sparse
        self._columns = columns
        self.table = nn.Parameter(torch.from_numpy(self.join(model.fields)))
        starts = np.cumsum([0] + [len(model.fields[c].tables[0]) for c in columns])
        numbers = [np.arange(start, end) for start, end in pairwise(starts)]
        self._lookup = _Lookup(numbers, null=int(starts[-1]))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        rows = self._lookup(ids[:, self._columns])
        vectors = embedding(rows, self.table, padding_idx=len(self.table) - 1, sparse=self._sparse)
        return vectors.sum(dim=1), -0.5 * (vectors * vectors).sum(dim=(1, 2))

    def join(self, fields: Sequence[QuantizedField]) -> npt.NDArray[np.float32]:
        tables = [fields[column].tables[0] for column in self._columns]
        return np.concatenate([*tables, np.zeros((1, tables[0].shape[1]), np.float32)])

    def split(self, fields: Sequence[QuantizedField]) -> dict[int, tuple[npt.NDArray[np.float32], ...]]:
        table, start = _numpy(self.table), 0
        found: dict[int, tuple[npt.NDArray[np.float32], ...]] = {}
        for column in self._columns:
            rows = len(fields[column].tables[0])
            found[column] = (table[start : start + rows],)
            start += rows
        return found


class _Coded(nn.Module):
    """Fields whose embeddings are coded in the same number of subspaces.

    The table holds all codewords, subspace by subspace and in each field by field, filled up with zeros to
    the size of the largest subspace (these zeros get no gradient); its last row is 0, for missing values.
    """

    def __init__(self, model: QuantizedFM, columns: list[int]) -> None:
        super().__init__()
        self._columns = columns
        self._subspaces = len(model.fields[columns[0]].tables)
        self._sizes = [end - start for start, end in subspace_bounds(model.dim, self._subspaces)]
        self.table = nn.Parameter(torch.from_numpy(self.join(model.fields)))
        sizes = [[len(model.fields[column].tables[d]) for column in columns] for d in range(self._subspaces)]
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1])).reshape(self._subspaces, len(columns))
        numbers = [model.fields[c].codes + starts[:, position] for position, c in enumerate(columns)]
        self._lookup = _Lookup(numbers, null=len(self.table) - 1)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        rows = self._lookup(ids[:, self._columns]).transpose(1, 2)
        codewords = self.table[:-1]
        norms = -0.5 * (codewords * codewords).sum(dim=1, keepdim=True)
        # The row of missing values is put on here, so that it gets no gradient.
        table = pad(torch.cat([codewords, norms], dim=1), (0, 0, 0, 1))
        bags: Tensor = _SumOfRows.apply(  # type: ignore[no-untyped-call]
            table, rows.reshape(-1, len(self._columns))
        )
        bags = bags.view(len(ids), self._subspaces, -1)
        width = bags.shape[2] - 1
        if all(size == width for size in self._sizes):
            vectors = bags[:, :, :-1].reshape(len(ids), -1)
        else:
            vectors = torch.cat([bags[:, d, :size] for d, size in enumerate(self._sizes)], dim=1)
        return vectors, bags[:, :, -1].sum(dim=1)

    def join(self, fields: Sequence[QuantizedField]) -> npt.NDArray[np.float32]:
        width = max(self._sizes)
        tables = [fields[column].tables[d] for d in range(self._subspaces) for column in self._columns]
        padded = [np.pad(table, ((0, 0), (0, width - table.shape[1]))) for table in tables]
        return np.concatenate([*padded, np.zeros((1, width), np.float32)])

    def split(self, fields: Sequence[QuantizedField]) -> dict[int, tuple[npt.NDArray[np.float32], ...]]:
        table, start = _numpy(self.table), 0
        found: dict[int, list[npt.NDArray[np.float32]]] = {column: [] for column in self._columns}
        for d, size in enumerate(self._sizes):
            for column in self._columns:
                rows = len(fields[column].tables[d])
                found[column].append(table[start : start + rows, :size])
                start += rows
        return {column: tuple(tables) for column, tables in found.items()}


class _SumOfRows(torch.autograd.Function):
    """``embedding_bag`` in mode "sum", with a backward pass that takes a quarter of its time.

    A row's gradient is the sum of the gradients of the bags that it is in: another ``embedding_bag``, over bags
    sorted by row. The order of the additions is fixed, so that the same input gives the same bits.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        """Return the sum of ``table[rows]`` over the last axis of ``rows``, float32 (bags, columns)."""
        ctx.save_for_backward(rows)
        ctx.size = len(table)
        return embedding_bag(rows, table, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the table."""
        (rows,) = ctx.saved_tensors
        (gradient,) = gradients
        flat = rows.reshape(-1)
        bags = torch.div(torch.argsort(flat, stable=True), rows.shape[1], rounding_mode="floor")
        uses = torch.bincount(flat, minlength=ctx.size)
        return embedding_bag(bags, gradient.contiguous(), torch.cumsum(uses, 0) - uses, mode="sum"), None


class _Lookup(nn.Module):
    """Maps ids of some fields to rows of a table: int64 (rows, fields) to (rows, fields[, subspaces])."""

    numbers: Tensor
    starts: Tensor

    def __init__(self, numbers: Sequence[npt.NDArray[np.integer]], *, null: int) -> None:
        """Join the fields' maps; an id of -1 is mapped to ``null``."""
        super().__init__()
        joined = np.concatenate(numbers).astype(np.int32)
        nothing = np.full((1, *joined.shape[1:]), null, dtype=np.int32)
        starts = np.cumsum([0] + [len(part) for part in numbers])
        self._end = int(starts[-1])
        self.register_buffer("numbers", torch.from_numpy(np.concatenate([joined, nothing])), persistent=False)
        self.register_buffer("starts", torch.from_numpy(starts[:-1]), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.where(ids < 0, self._end, ids + self.starts)
        return self.numbers[positions]


def _numpy(table: Tensor) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = table.detach().cpu().numpy().copy()
    return array
