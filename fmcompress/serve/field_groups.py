"""Fields of a scorer in groups: those that are stored in the same way are looked up together.

A field that shares the table of another one is a column of its own, but its tables and codes are kept once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fmcompress.artifact.layout import TableLayout, TierLayout, read_table, stored_numbers
from fmcompress.artifact.packed import PackedFM
from fmcompress.fm.quantizer import subspace_bounds
from fmcompress.serve.bit_streams import CodeReader
from fmcompress.serve.memory import folds_linear, stays_packed
from fmcompress.types import BoolArray, Float32Array, Int64Array, UInt64Array

_FEW_BAGS = 128
"""So few bags are summed with one look-up of all their rows; of more, a row of each at a time stays in the cache."""


class Group(Protocol):
    """Some columns of ids that are stored in the same way."""

    def add(self, ids: Int64Array, missing: BoolArray | None, sums: Sums) -> None:
        """Add what they contribute.

        Args:
            ids: of all columns, 0 where one is missing, int64 (rows, columns).
            missing: where they are, bool (rows, columns); None where none is.
            sums: of the same rows; changed in place.
        """


@dataclass
class Sums:
    """The sums of a chunk of rows.

    Attributes:
        vectors: Σ_i q_i, float32 (rows, dim).
        scalars: w_0 + Σ_i (w_i − ½‖q_i‖²), float32 (rows,).
    """

    vectors: Float32Array
    scalars: Float32Array


def groups_of(model: PackedFM, words: UInt64Array, tiers: Sequence[TierLayout]) -> list[Group]:
    """Return groups of columns, by the way in which embedding and linear weight are found.

    Args:
        model: the model.
        words: its codes, uint64 (words,), see ``as_words``.
        tiers: where what each column of ids looks up lies; a tier may stand here several times.
    """
    folded: dict[int, TierLayout] = {}
    plain: dict[int, TierLayout] = {}
    linear: dict[int, TierLayout] = {}
    coded: dict[tuple[int, int], dict[int, TierLayout]] = {}
    groups: list[Group] = []
    for column, tier in enumerate(tiers):
        kind = tier.quantizer
        if folds_linear(tier):
            folded[column] = tier
        elif kind.row_bits or len(kind.codewords) > 1:
            coded.setdefault((len(kind.codewords), len(kind.widths)), {})[column] = tier
        else:
            linear[column] = tier
        if column in folded or (column not in linear and not kind.raw):
            continue
        if stays_packed(tier):
            groups.append(_MappedTier(model, words, column, tier))
        else:
            plain[column] = tier
    if folded:
        groups.append(_PlainFields(model, folded, with_linear=True))
    if plain:
        groups.append(_PlainFields(model, plain, with_linear=False))
    if linear:
        groups.append(_LinearFields(model, linear))
    groups.extend(_CodedFields(model, words, columns) for columns in coded.values())
    return groups


class _Bags:
    """Tables of vectors with −½‖vector‖² beside each, summed up for bags of rows."""

    def __init__(self, tables: Sequence[Float32Array], extra: Sequence[Float32Array]) -> None:
        """Join tables into one, with a row of zeros for missing values at its end.

        Args:
            tables: float32 (rows, columns) each; narrower ones are filled up with zeros.
            extra: what is added to −½‖vector‖², float32 (rows,) or (1,) each.
        """
        width = max(table.shape[1] for table in tables)
        self.starts = np.cumsum([0] + [len(table) for table in tables])
        self.null = int(self.starts[-1])
        self._table = np.zeros((self.null + 1, width), dtype=np.float32)
        self._scalars = np.zeros(self.null + 1, dtype=np.float32)
        for start, table, more in zip(self.starts, tables, extra, strict=False):
            self._table[start : start + len(table), : table.shape[1]] = table
            self._scalars[start : start + len(table)] = more - 0.5 * np.einsum("kl,kl->k", table, table)

    def sum(self, rows: Int64Array) -> tuple[Float32Array, Float32Array]:
        """Return the sums over the last axis, float32 (bags, columns), and those of the scalars, float32 (bags,).

        Args:
            rows: int64 (bags, rows of a bag).
        """
        if len(rows) < _FEW_BAGS:
            return self._table.take(rows, axis=0).sum(axis=1), self._scalars.take(rows).sum(axis=1)
        vectors = np.zeros((len(rows), self._table.shape[1]), dtype=np.float32)
        scalars = np.zeros(len(rows), dtype=np.float32)
        found, more = np.empty_like(vectors), np.empty_like(scalars)
        for column in np.ascontiguousarray(rows.T):
            # Rows are known to be in range: with "clip" numpy writes them where they belong, without a copy between.
            np.take(self._table, column, axis=0, out=found, mode="clip")
            np.take(self._scalars, column, out=more, mode="clip")
            vectors += found
            scalars += more
        return vectors, scalars


class _PlainFields:
    """Fields whose embedding is found by the id itself, or is shared by all ids."""

    def __init__(self, model: PackedFM, columns: Mapping[int, TierLayout], *, with_linear: bool) -> None:
        self._columns = list(columns)
        tiers, places = _once(columns.values())
        tables = [_table(model, tier.tables[0]) for tier in tiers]
        extra = [_table(model, tier.linear) if with_linear else np.zeros(1, np.float32) for tier in tiers]
        self._bags = _Bags(tables, extra)
        self._starts = self._bags.starts[places]
        self._steps = _steps(tables)[places]

    def add(self, ids: Int64Array, missing: BoolArray | None, sums: Sums) -> None:
        rows = ids[:, self._columns] * self._steps + self._starts
        if missing is not None:
            rows[missing[:, self._columns]] = self._bags.null
        vectors, scalars = self._bags.sum(rows)
        sums.vectors += vectors
        sums.scalars += scalars


class _MappedTier:
    """A tier with many raw embeddings: in fp16 they stay in the file, in int8 and fp32 among the codes."""

    def __init__(self, model: PackedFM, words: UInt64Array, column: int, tier: TierLayout) -> None:
        self._column = column
        (place,) = tier.tables
        self._table = stored_numbers(place, model.values, words.view(np.uint8))
        self._scale = np.float32(1 if place.scale is None else model.values[place.scale])

    def add(self, ids: Int64Array, missing: BoolArray | None, sums: Sums) -> None:
        vectors = self._table[ids[:, self._column]] * self._scale
        if missing is not None:
            vectors[missing[:, self._column]] = 0
        sums.vectors += vectors
        sums.scalars -= 0.5 * np.einsum("rl,rl->r", vectors, vectors)


class _CodedFields:
    """Fields with the same number of codes, which name codewords, or linear weights, or both."""

    def __init__(self, model: PackedFM, words: UInt64Array, columns: Mapping[int, TierLayout]) -> None:
        self._columns = list(columns)
        self._reader = CodeReader(words, list(columns.values()))
        tiers, places = _once(columns.values())
        self._codes = len(tiers[0].quantizer.widths)
        self._subspaces = len(tiers[0].quantizer.codewords)
        self._linear = _LinearFields(model, columns)
        if self._subspaces:
            self._sizes = [end - start for start, end in subspace_bounds(model.header.dim, self._subspaces)]
            tables = [_table(model, tier.tables[d]) for d in range(self._subspaces) for tier in tiers]
            self._bags = _Bags(tables, [np.zeros(1, np.float32)] * len(tables))
            self._starts = self._bags.starts[:-1].reshape(self._subspaces, 1, len(tiers))[:, :, places]

    def add(self, ids: Int64Array, missing: BoolArray | None, sums: Sums) -> None:
        own = ids[:, self._columns]
        absent = None if missing is None else missing[:, self._columns]
        codes = self._reader.read(own.view(np.uint64)).view(np.int64)
        self._linear.add_codes(own if self._codes == self._subspaces else codes[-1], absent, sums)
        if self._subspaces:
            self._add_codewords(codes[: self._subspaces], absent, sums)

    def _add_codewords(self, codes: Int64Array, absent: BoolArray | None, sums: Sums) -> None:
        codes += self._starts
        if absent is not None:
            codes[:, absent] = self._bags.null
        vectors, scalars = self._bags.sum(codes.reshape(-1, codes.shape[-1]))
        sums.scalars += scalars.reshape(len(codes), -1).sum(axis=0)
        start = 0
        for part, size in zip(vectors.reshape(*codes.shape[:2], -1), self._sizes, strict=True):
            sums.vectors[:, start : start + size] += part[:, :size]
            start += size


class _LinearFields:
    """Fields whose linear weight is found by the id itself, not along with the embedding, or by a code.

    Linear weights, or their codebooks, stand one after the other; the last one, 0, is that of missing values.
    """

    def __init__(self, model: PackedFM, columns: Mapping[int, TierLayout]) -> None:
        self._columns = list(columns)
        tiers, places = _once(columns.values())
        tables = [_table(model, tier.linear) for tier in tiers]
        self._starts = np.cumsum([0] + [len(table) for table in tables])[places]
        self._steps = _steps(tables)[places]
        self._table = np.concatenate([*tables, np.zeros(1, np.float32)])

    def add(self, ids: Int64Array, missing: BoolArray | None, sums: Sums) -> None:
        self.add_codes(ids[:, self._columns], None if missing is None else missing[:, self._columns], sums)

    def add_codes(self, codes: Int64Array, absent: BoolArray | None, sums: Sums) -> None:
        rows = codes * self._steps + self._starts
        if absent is not None:
            rows[absent] = len(self._table) - 1
        sums.scalars += self._table.take(rows).sum(axis=1)


def _once(tiers: Iterable[TierLayout]) -> tuple[list[TierLayout], list[int]]:
    """Return tiers, each once, and the place among them of each of those given."""
    places: dict[TierLayout, int] = {}
    of = [places.setdefault(tier, len(places)) for tier in tiers]
    return list(places), of


def _steps(tables: Sequence[Float32Array]) -> Int64Array:
    """Return from one id to the next how many rows there are: a shared vector has one row only, whatever the id."""
    return np.array([0 if len(table) == 1 else 1 for table in tables], dtype=np.int64)


def _table(model: PackedFM, place: TableLayout) -> Float32Array:
    return read_table(place, model.values, model.codes)
