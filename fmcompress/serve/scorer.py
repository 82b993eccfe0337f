"""Predictions from packed codes, without ever decoding the table of embeddings.

With q_i the decoded embedding of category i, the logit of a row is

    w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²

and both sums run over codewords as well as over embeddings: ½‖q_i‖² is the sum of the halves of its
codewords' squared norms. So each codebook gets one more column, −½‖codeword‖², and one ``embedding_bag``
per number of subspaces sums the codewords of all fields and the last column along with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import embedding_bag

from fmcompress.artifact.layout import FieldLayout, PartLayout, TableLayout, field_layouts, part_layouts
from fmcompress.artifact.tables import read_table
from fmcompress.errors import DataError
from fmcompress.quantizer import subspace_bounds
from fmcompress.serve.memory import folds_linear, stays_packed
from fmcompress.serve.ranks import Ids, Mask, TierRanks
from fmcompress.serve.windows import U64, CodeReader, as_words

if TYPE_CHECKING:
    from fmcompress.artifact.model import CompressedFM

_CHUNK_ROWS = 2048


class _Group(Protocol):
    """Some fields that are stored in the same way."""

    def add(self, ids: Ids, missing: Mask | None, sums: _Sums) -> None:
        """Add what the fields contribute; ids of missing values are 0."""


@dataclass
class _Sums:
    """Σ_i q_i, float32 (rows, dim), and Σ_i (w_i − ½‖q_i‖²), float32 (rows,), of a chunk of rows."""

    vectors: npt.NDArray[np.float32]
    scalars: npt.NDArray[np.float32]


class Scorer:
    """Scores rows of category ids with a compressed factorization machine."""

    def __init__(self, model: CompressedFM) -> None:
        """Group the model's fields by the way in which they are stored."""
        self._schema = model.schema
        self._dim = model.header.dim
        self._bias = model.bias
        self._cardinalities = model.schema.cardinalities
        words = as_words(model.codes)
        layouts = list(field_layouts(model.header))
        self._parts = _Parts(words, layouts) if any(field.tier_bytes for field in layouts) else None
        self._groups = _groups(model, words)

    def predict(self, ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the predicted probabilities of rows, float32 (rows,).

        Args:
            ids: category ids counted from 0 in each field, -1 where a value is missing; integers (rows, fields).

        Raises:
            DataError: the shape is another, or an id is out of range.
        """
        rows = _array(ids)
        if rows.ndim != 2 or rows.shape[1] != len(self._schema) or rows.dtype.kind not in "iu":
            raise DataError(
                f"ids are {rows.dtype} of shape {rows.shape}, expected integers of shape (rows, {len(self._schema)})"
            )
        logits = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = rows[start : start + _CHUNK_ROWS]
            logits[start : start + _CHUNK_ROWS] = self._logits(_signed(chunk), start)
        return torch.sigmoid(torch.from_numpy(logits)).numpy()

    def _logits(self, ids: Ids, first_row: int) -> npt.NDArray[np.float32]:
        missing = self._missing(ids, first_row)
        if missing is not None:
            ids = np.where(missing, 0, ids)
        if self._parts is not None:
            ids, missing = self._parts.split(ids, missing)
        sums = _Sums(np.zeros((len(ids), self._dim), np.float32), np.full(len(ids), self._bias, np.float32))
        for group in self._groups:
            group.add(ids, missing, sums)
        squares: npt.NDArray[np.float32] = np.einsum("rl,rl->r", sums.vectors, sums.vectors)
        return sums.scalars + np.float32(0.5) * squares

    def _missing(self, ids: Ids, first_row: int) -> Mask | None:
        """Return where values are missing, None where none is; one comparison finds all that is out of range."""
        out = ids.view(np.uint64) >= self._cardinalities.view(np.uint64)
        if not out.any():
            return None
        wrong = out & (ids != -1)
        if wrong.any():
            row, field = map(int, np.argwhere(wrong)[0])
            raise DataError(
                f"row {first_row + row}, field {self._schema.names[field]!r}: id {ids[row, field]} is out of range, "
                f"expected 0 to {self._cardinalities[field] - 1}"
            )
        return out


def _array(ids: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(ids)
    except ValueError as error:
        raise DataError("ids are no array: their rows differ in length") from error


def _signed(ids: npt.NDArray[Any]) -> Ids:
    """Return ids as int64; those too large for it must not come out as negative ones."""
    if ids.dtype == np.uint64:
        ids = np.minimum(ids, np.uint64(2**63 - 1))
    return ids.astype(np.int64)


class _Parts:
    """Splits fields into their parts: in a row, a field's category is in one of them, and missing in the others."""

    def __init__(self, words: U64, fields: Sequence[FieldLayout]) -> None:
        self._ranks = TierRanks(words, {column: field for column, field in enumerate(fields) if field.tier_bytes})
        ends = np.cumsum([len(field.parts) for field in fields])
        self._firsts = np.concatenate(([0], ends[:-1]))
        self._parts = int(ends[-1])

    def split(self, ids: Ids, missing: Mask | None) -> tuple[Ids, Mask]:
        """Return ids in the parts, and where they are missing; the former are 0 there, here as there."""
        tiers, places = self._ranks.find(ids[:, self._ranks.columns])
        ids = ids.copy()
        ids[:, self._ranks.columns] = places
        at = self._firsts + np.arange(len(ids))[:, None] * self._parts
        at[:, self._ranks.columns] += tiers
        found = np.zeros((len(ids), self._parts), dtype=np.int64)
        found.reshape(-1)[at] = ids
        absent = np.ones(found.shape, dtype=np.bool_)
        absent.reshape(-1)[at] = False if missing is None else missing
        return found, absent


class _Bags:
    """Tables of vectors with −½‖vector‖² in one more column, summed by ``embedding_bag``."""

    def __init__(self, tables: Sequence[npt.NDArray[np.float32]], extra: Sequence[npt.NDArray[np.float32]]) -> None:
        """Join tables into one, with a row of zeros for missing values at its end.

        Args:
            tables: float32 (rows, columns) each; narrower ones are filled up with zeros.
            extra: what is added to −½‖vector‖², float32 (rows,) or (1,) each.
        """
        width = max(table.shape[1] for table in tables)
        self.starts = np.cumsum([0] + [len(table) for table in tables])
        self.null = int(self.starts[-1])
        joined = np.zeros((self.null + 1, width + 1), dtype=np.float32)
        for start, table, more in zip(self.starts, tables, extra, strict=False):
            joined[start : start + len(table), : table.shape[1]] = table
            joined[start : start + len(table), -1] = more - 0.5 * np.einsum("kl,kl->k", table, table)
        self._table = torch.from_numpy(joined)

    def sum(self, rows: Ids) -> npt.NDArray[np.float32]:
        """Return the sums over the last axis of ``rows``, float32 (…, columns + 1)."""
        bags = embedding_bag(torch.from_numpy(rows.reshape(-1, rows.shape[-1])), self._table, mode="sum")
        return bags.numpy().reshape(*rows.shape[:-1], -1)


class _PlainFields:
    """Fields whose embedding is found by the id itself, or is shared by all ids."""

    def __init__(self, model: CompressedFM, columns: dict[int, PartLayout], *, with_linear: bool) -> None:
        self._columns = list(columns)
        tables = [_table(model, part.tables[0]) for part in columns.values()]
        extra = [_table(model, part.linear) if with_linear else np.zeros(1, np.float32) for part in columns.values()]
        self._bags = _Bags(tables, extra)
        self._starts = self._bags.starts[:-1]
        # A shared vector has one row only, whatever the id.
        self._steps = np.array([0 if len(table) == 1 else 1 for table in tables], dtype=np.int64)

    def add(self, ids: Ids, missing: Mask | None, sums: _Sums) -> None:
        rows = ids[:, self._columns] * self._steps + self._starts
        if missing is not None:
            rows[missing[:, self._columns]] = self._bags.null
        bags = self._bags.sum(rows)
        sums.vectors += bags[:, :-1]
        sums.scalars += bags[:, -1]


class _MappedPart:
    """A part with many raw embeddings: in fp16 they stay in the file, in int8 among the codes."""

    def __init__(self, model: CompressedFM, words: U64, column: int, part: PartLayout) -> None:
        self._column = column
        (place,) = part.tables
        stored = model.values if place.scale is None else words.view(np.int8)
        self._table = stored[place.rows].reshape(place.shape)
        self._scale = np.float32(1 if place.scale is None else model.values[place.scale])

    def add(self, ids: Ids, missing: Mask | None, sums: _Sums) -> None:
        vectors = self._table[ids[:, self._column]] * self._scale
        if missing is not None:
            vectors[missing[:, self._column]] = 0
        sums.vectors += vectors
        sums.scalars -= 0.5 * np.einsum("rl,rl->r", vectors, vectors)


class _CodedFields:
    """Fields with the same number of codes, which name codewords, or linear weights, or both."""

    def __init__(self, model: CompressedFM, words: npt.NDArray[np.uint64], columns: dict[int, PartLayout]) -> None:
        self._columns = list(columns)
        parts = list(columns.values())
        self._reader = CodeReader(words, parts)
        self._codes = len(parts[0].quantizer.widths)
        self._subspaces = len(parts[0].quantizer.codewords)
        self._linear = _LinearTable(model, parts)
        if self._subspaces:
            self._sizes = [end - start for start, end in subspace_bounds(model.header.dim, self._subspaces)]
            tables = [_table(model, part.tables[d]) for d in range(self._subspaces) for part in parts]
            self._bags = _Bags(tables, [np.zeros(1, np.float32)] * len(tables))
            self._starts = self._bags.starts[:-1].reshape(self._subspaces, 1, len(parts))

    def add(self, ids: Ids, missing: Mask | None, sums: _Sums) -> None:
        own = ids[:, self._columns]
        absent = None if missing is None else missing[:, self._columns]
        codes = self._reader.read(own.view(np.uint64)).view(np.int64)
        self._linear.add(own if self._codes == self._subspaces else codes[-1], absent, sums)
        if self._subspaces:
            self._add_codewords(codes[: self._subspaces], absent, sums)

    def _add_codewords(self, codes: Ids, absent: Mask | None, sums: _Sums) -> None:
        codes += self._starts
        if absent is not None:
            codes[:, absent] = self._bags.null
        bags = self._bags.sum(codes)
        sums.scalars += bags[:, :, -1].sum(axis=0)
        start = 0
        for d, size in enumerate(self._sizes):
            sums.vectors[:, start : start + size] += bags[d, :, :size]
            start += size


class _LinearFields:
    """Fields whose linear weight is found by the id itself, and not along with the embedding."""

    def __init__(self, model: CompressedFM, columns: dict[int, PartLayout]) -> None:
        self._columns = list(columns)
        self._linear = _LinearTable(model, list(columns.values()))

    def add(self, ids: Ids, missing: Mask | None, sums: _Sums) -> None:
        self._linear.add(ids[:, self._columns], None if missing is None else missing[:, self._columns], sums)


class _LinearTable:
    """Linear weights of some fields, or their codebooks; the last one, 0, is that of missing values."""

    def __init__(self, model: CompressedFM, parts: Sequence[PartLayout]) -> None:
        tables = [_table(model, part.linear) for part in parts]
        self._starts = np.cumsum([0] + [len(table) for table in tables])[:-1]
        self._steps = np.array([0 if len(table) == 1 else 1 for table in tables], dtype=np.int64)
        self._table = np.concatenate([*tables, np.zeros(1, np.float32)])

    def add(self, codes: Ids, absent: Mask | None, sums: _Sums) -> None:
        rows = codes * self._steps + self._starts
        if absent is not None:
            rows[absent] = len(self._table) - 1
        sums.scalars += self._table.take(rows).sum(axis=1)


def _groups(model: CompressedFM, words: U64) -> list[_Group]:
    """Return the fields, grouped by the way in which embedding and linear weight are found."""
    folded: dict[int, PartLayout] = {}
    plain: dict[int, PartLayout] = {}
    linear: dict[int, PartLayout] = {}
    coded: dict[tuple[int, int], dict[int, PartLayout]] = {}
    groups: list[_Group] = []
    for column, part in enumerate(part_layouts(model.header)):
        kind = part.quantizer
        if folds_linear(part):
            folded[column] = part
        elif kind.row_bits or len(kind.codewords) > 1:
            coded.setdefault((len(kind.codewords), len(kind.widths)), {})[column] = part
        else:
            linear[column] = part
        if column in folded or (column not in linear and not kind.raw):
            continue
        if stays_packed(part):
            groups.append(_MappedPart(model, words, column, part))
        else:
            plain[column] = part
    if folded:
        groups.append(_PlainFields(model, folded, with_linear=True))
    if plain:
        groups.append(_PlainFields(model, plain, with_linear=False))
    if linear:
        groups.append(_LinearFields(model, linear))
    groups.extend(_CodedFields(model, words, columns) for columns in coded.values())
    return groups


def _table(model: CompressedFM, place: TableLayout) -> npt.NDArray[np.float32]:
    return read_table(place, model.values, model.codes)
