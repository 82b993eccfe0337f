"""The layers of a quantized factorization machine in training: linear weights, raw rows, codebooks with fixed codes.

With q_i the decoded embedding, the logit is the bias, plus Σ over layers of their scalars, plus ½ ‖Σ of their
vectors‖². A layer's vectors are its fields' Σ q_i, its scalars their −½ Σ ‖q_i‖², or Σ w_i.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.finetune.few_bits import FewBits
from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.lookup import Lookup, Values, sum_of_rows, with_norms
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.types import Float32Array, Int32Array

Fields = dict[int, QuantizedField]
"""Fields by their column."""


class Linear(nn.Module):
    """Σ w_i, from linear weights of each category or from codebooks; the table's last row is 0, for missing values."""

    def __init__(self, model: QuantizedFM, *, sparse: bool) -> None:
        """Take over the linear weights of all fields."""
        super().__init__()
        self._sparse = sparse
        tables = [field.linear_table for field in model.fields]
        self.table = nn.Parameter(torch.from_numpy(np.concatenate([*tables, np.zeros(1, np.float32)])[:, None]))
        self._starts = np.cumsum([0] + [len(table) for table in tables]).tolist()
        self._lookup = Lookup(self._rows_of(model.fields), null=self._starts[-1], persistent=True)

    def _rows_of(self, fields: Sequence[QuantizedField]) -> list[Int32Array]:
        return [
            start + (np.arange(len(f.linear_table)) if f.quantizer.linear_raw else f.linear_codes.astype(np.int32))
            for start, f in zip(self._starts, fields, strict=False)
        ]

    def recode(self, fields: Sequence[QuantizedField]) -> None:
        """Take over the codes of the fields."""
        self._lookup.replace(self._rows_of(fields))

    def forward(self, ids: Tensor, values: Values | None = None) -> Tensor:
        """Return Σ w_i, float32 (rows,), of ids, int64 (rows, all fields), and behind them w of values."""
        found = [self._sums(self._lookup(ids))]
        if values is not None:
            found.append(self._sums(self._lookup.of_values(values)))
        return torch.cat(found)

    def _sums(self, rows: Tensor) -> Tensor:
        if not self._sparse:
            return sum_of_rows(self.table, rows, null=True)[:, 0]
        weights = embedding(rows, self.table, padding_idx=len(self.table) - 1, sparse=True)
        return weights.sum(dim=(1, 2))

    def store(self, fields: Sequence[QuantizedField]) -> list[QuantizedField]:
        """Return the fields with the numbers as they are now."""
        tables = np.split(numpy_of(self.table)[:-1, 0], self._starts[1:-1])
        found = []
        for field, start, table, rows in zip(fields, self._starts, tables, self._lookup.split(), strict=False):
            codes = field.linear_codes if field.quantizer.linear_raw else (rows - start).astype(np.uint16)
            found.append(replace(field, linear_table=table, linear_codes=codes))
        return found


class EmbeddingLayer(nn.Module):
    """A layer of the embeddings of some fields: from ids to sums over these fields.

    ``forward(ids, values)`` returns vectors, float32 (rows + values, dim), and scalars, float32 (rows + values,), of
    ids, int64 (rows, all fields), and behind them of values, if there are any.
    """

    def sparse_tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return []

    def latent_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that no artifact stores, and that are trained in a way of their own."""
        return []

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this layer with numbers and codes as they are now."""
        raise NotImplementedError

    def recode(self, fields: Sequence[QuantizedField]) -> None:
        """Take over the codes of the fields, where this layer does not change them itself."""


class RawRows(EmbeddingLayer):
    """Fields with raw embeddings; the table's last row is 0, for missing values."""

    def __init__(self, model: QuantizedFM, columns: list[int], *, sparse: bool) -> None:
        """Take over the embeddings of the fields in these columns."""
        super().__init__()
        self._sparse = sparse
        self._columns = columns
        tables = [model.fields[column].tables[0] for column in columns]
        self.table = nn.Parameter(torch.from_numpy(np.concatenate([*tables, np.zeros((1, model.dim), np.float32)])))
        self._starts = np.cumsum([0] + [len(table) for table in tables]).tolist()
        rows = [np.arange(start, end) for start, end in pairwise(self._starts)]
        self._lookup = Lookup(rows, null=self._starts[-1], columns=columns, fields=len(model.fields))
        lengths = np.array([[len(table) for table in tables]])
        self._few_bits = FewBits([model.fields[column].quantizer for column in columns], lengths)

    def forward(self, ids: Tensor, values: Values | None = None) -> tuple[Tensor, Tensor]:
        """Return vectors and scalars, see ``EmbeddingLayer``; with sparse gradients numbers are not rounded."""
        table = self.table if self._sparse else self._few_bits(self.table)
        return with_values(self._lookup, partial(self._sums, table), ids, values)

    def _sums(self, table: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        if not self._sparse:
            norms = -0.5 * (table * table).sum(dim=1, keepdim=True)
            return sum_of_rows(table, rows, null=True), sum_of_rows(norms, rows)[:, 0]
        vectors = embedding(rows, self.table, padding_idx=len(self.table) - 1, sparse=True)
        return vectors.sum(dim=1), -0.5 * (vectors * vectors).sum(dim=(1, 2))

    def sparse_tables(self) -> list[nn.Parameter]:
        """Return the embeddings."""
        return [self.table]

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this layer with the numbers as they are now."""
        tables = np.split(numpy_of(self.table)[:-1], self._starts[1:-1])
        return {
            column: replace(fields[column], tables=(table,))
            for column, table in zip(self._columns, tables, strict=True)
        }


class CodebookTable:
    """Where the codebooks of some fields, coded in the same number of subspaces, lie in one table.

    The table holds all codewords, subspace by subspace and in each field by field, filled up with zeros to
    the size of the largest subspace; its last row is 0, for missing values.

    Attributes:
        columns: the fields.
        sizes: coordinates of each subspace.
        starts: first row of each codebook, int64 (subspaces, fields).
        lengths: codewords of each codebook, int64 (subspaces, fields).
    """

    def __init__(self, model: QuantizedFM, columns: list[int]) -> None:
        """Lay out the codebooks of the fields in these columns."""
        self.columns = columns
        subspaces = len(model.fields[columns[0]].tables)
        self.sizes = [end - start for start, end in subspace_bounds(model.dim, subspaces)]
        lengths = [[len(model.fields[column].tables[d]) for column in columns] for d in range(subspaces)]
        self.lengths = np.array(lengths, dtype=np.int64)
        self.starts = (np.cumsum(self.lengths) - self.lengths.reshape(-1)).reshape(self.lengths.shape)

    @property
    def subspaces(self) -> int:
        """Number of subspaces."""
        return len(self.sizes)

    @property
    def width(self) -> int:
        """Coordinates of the largest subspace."""
        return max(self.sizes)

    @property
    def null(self) -> int:
        """The table's last row."""
        return int(self.lengths.sum())

    def rows_of(self, fields: Sequence[QuantizedField]) -> list[Int32Array]:
        """Return the rows of each field's codes in the table, int32 (cardinality, subspaces) each."""
        starts = self.starts.astype(np.int32)  # in 64 bits, codes of many categories would be as large as embeddings
        return [fields[c].codes + starts[:, position] for position, c in enumerate(self.columns)]

    def join(self, fields: Sequence[QuantizedField]) -> Float32Array:
        """Return the table of these fields, float32 (codewords + 1, width)."""
        tables = [fields[column].tables[d] for d in range(self.subspaces) for column in self.columns]
        padded = [np.pad(table, ((0, 0), (0, self.width - table.shape[1]))) for table in tables]
        return np.concatenate([*padded, np.zeros((1, self.width), np.float32)])

    def store(self, fields: Sequence[QuantizedField], table: Float32Array, rows: Sequence[Int32Array]) -> Fields:
        """Return the laid-out fields with other codebooks and codes; the inverse of ``join`` and ``rows_of``.

        Args:
            fields: all fields of the model.
            table: their codebooks, float32 (codewords + 1, width).
            rows: of each laid-out field's codes in the table, int32 (cardinality, subspaces) each.
        """
        found: Fields = {}
        for position, column in enumerate(self.columns):
            starts = self.starts[:, position].astype(np.int32)
            books = zip(starts, self.lengths[:, position], self.sizes, strict=True)
            tables = tuple(table[start : start + length, :size] for start, length, size in books)
            codes = (rows[position] - starts).astype(np.uint16)
            found[column] = replace(fields[column], tables=tables, codes=codes)
        return found

    def unpadded(self, vectors: Tensor) -> Tensor:
        """Return vectors, float32 (n, dim), of padded ones, float32 (n, subspaces, width)."""
        if all(size == self.width for size in self.sizes):
            return vectors.reshape(len(vectors), -1)
        return torch.cat([vectors[:, d, :size] for d, size in enumerate(self.sizes)], dim=1)

    def padded(self, vectors: Tensor) -> Tensor:
        """Return vectors, float32 (n, dim), cut into subspaces and filled with zeros, float32 (n, subspaces, width)."""
        parts = torch.split(vectors, self.sizes, dim=1)
        return torch.stack([pad(part, (0, self.width - part.shape[1])) for part in parts], dim=1)


class FixedCodes(EmbeddingLayer):
    """Fields whose embeddings are coded in the same number of subspaces, and whose codes stand still.

    ½ (‖Σ q_i‖² − Σ ‖q_i‖²) needs no decoded embedding at all: the sums run over codewords, and a codebook's last
    column −½‖codeword‖² makes ``embedding_bag`` sum the norms along.
    """

    def __init__(self, model: QuantizedFM, columns: list[int]) -> None:
        """Take over codebooks and codes of the fields in these columns."""
        super().__init__()
        self._layout = CodebookTable(model, columns)
        self.table = nn.Parameter(torch.from_numpy(self._layout.join(model.fields)))
        rows = self._layout.rows_of(model.fields)
        fields = len(model.fields)
        self._lookup = Lookup(rows, null=self._layout.null, columns=columns, fields=fields, persistent=True)
        self._few_bits = FewBits([model.fields[column].quantizer for column in columns], self._layout.lengths)

    def recode(self, fields: Sequence[QuantizedField]) -> None:
        """Take over the codes of the fields."""
        self._lookup.replace(self._layout.rows_of(fields))

    def forward(self, ids: Tensor, values: Values | None = None) -> tuple[Tensor, Tensor]:
        """Return vectors and scalars, see ``EmbeddingLayer``."""
        return with_values(self._lookup, partial(self._sums, with_norms(self._few_bits(self.table))), ids, values)

    def _sums(self, table: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        flat = rows.transpose(1, 2).reshape(-1, rows.shape[1])
        bags = sum_of_rows(table, flat).view(len(rows), self._layout.subspaces, -1)
        return self._layout.unpadded(bags[:, :, :-1]), bags[:, :, -1].sum(dim=1)

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this layer with the numbers as they are now."""
        return self._layout.store(fields, numpy_of(self.table), self._lookup.split())


def with_values(
    lookup: Lookup, sums: Callable[[Tensor], tuple[Tensor, Tensor]], ids: Tensor, values: Values | None
) -> tuple[Tensor, Tensor]:
    """Return vectors, float32 (n, dim), and scalars, float32 (n,), of rows and behind them of values.

    Args:
        lookup: to rows of a table.
        sums: of such rows, int32 (n, fields[, subspaces]), over fields.
        ids: int64 (rows, all fields).
        values: of bags; None where there are none.
    """
    if values is None:
        return sums(lookup(ids))
    both = zip(sums(lookup(ids)), sums(lookup.of_values(values)), strict=True)
    vectors, scalars = (torch.cat(parts) for parts in both)
    return vectors, scalars


def by_subspaces(fields: Iterable[QuantizedField]) -> dict[int, list[int]]:
    """Return the columns of the fields with each number of subspaces, in rising order; 0 are raw ones."""
    columns: dict[int, list[int]] = {}
    for column, field in enumerate(fields):
        columns.setdefault(len(field.quantizer.codewords), []).append(column)
    return dict(sorted(columns.items()))


def logits_of(bias: Tensor, linear: Tensor, layers: Sequence[tuple[Tensor, Tensor]], inputs: Inputs) -> Tensor:
    """Return logits: the bias, plus the scalars of all layers, plus ½ ‖Σ of the layers' vectors‖², float32 (rows,).

    Args:
        bias: w_0, a float32 scalar.
        linear: Σ w_i of each row of the inputs' ids, float32 (n,).
        layers: vectors, float32 (n, dim), and scalars, float32 (n,), of each layer.
        inputs: how rows are stacked and bags are pooled, and what numeric fields add.
    """
    vectors = torch.stack([vectors for vectors, _ in layers]).sum(dim=0)
    norms = torch.stack([scalars for _, scalars in layers]).sum(dim=0)
    total, scalars = inputs.summed(vectors, norms, linear)
    return bias + scalars + 0.5 * (total * total).sum(dim=1)


def numpy_of(table: Tensor) -> Float32Array:
    """Return a copy of a table as it is now, float32 of its shape."""
    array: Float32Array = table.detach().cpu().numpy().copy()
    return array
