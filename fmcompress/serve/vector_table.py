"""A table of vectors as users look it up: only the rows that are asked for are decoded, from packed codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fmcompress.arguments import checked_arguments
from fmcompress.artifact.layout import FieldLayout, TierLayout, field_layouts, read_table, stored_numbers
from fmcompress.artifact.packed import Packed
from fmcompress.errors import UsageError
from fmcompress.serve.bit_streams import CodeReader, TierRanks, as_words
from fmcompress.types import AnyArray, Float32Array, Int64Array, UInt64Array

_CHUNK_ROWS = 16_384


class VectorTable:
    """A table of vectors, read as numpy reads an array's rows: ``table[ids]``.

    It takes an id, a list or an array of ids of any shape, a slice, or an array of bools, one for each vector, and
    returns float32 vectors. Ids are counted from 0; negative ones are as wrong as those that are too large, for in data
    they stand for what is missing. ``numpy.asarray(table)`` decodes all of it.
    """

    def __init__(self, model: Packed, name: str) -> None:
        """Find a table.

        Args:
            model: what holds it.
            name: of the field or the table.

        Raises:
            UsageError: there is no such table.
        """
        schema = model.schema
        if name not in schema.id_names:
            raise UsageError(f"there is no table {name!r}, expected {_listed(schema.id_names)}")
        self.name = name
        number = int(schema.tables[schema.id_names.index(name)])
        field = schema.fields[number]
        dim = model.header.frame.vector_sizes[number]
        self.shape = (field.cardinality, dim)
        self._zeros = np.array(field.zero_ids, dtype=np.int64)
        self._rows = _Rows(model, list(field_layouts(model.header))[number], dim)
        axes = model.axes_of(number)
        self._axes = None if axes is None else axes.astype(np.float64)

    dtype = np.dtype(np.float32)
    ndim = 2

    def __len__(self) -> int:
        """Return the number of vectors."""
        return self.shape[0]

    def __repr__(self) -> str:
        """Return name and shape."""
        return f"VectorTable({self.name!r}, {self.shape[0]:,} × {self.shape[1]})"

    def __getitem__(self, ids: Any) -> Float32Array:
        """Return the vectors of ids, float32 (…, l): of one id (l,), of an array of ids its shape and l.

        Raises:
            IndexError: an id is out of range, or no whole number.
        """
        places = self._places(ids)
        found = np.empty((places.size, self.shape[1]), dtype=np.float32)
        flat = places.reshape(-1)
        for start in range(0, len(flat), _CHUNK_ROWS):
            own = flat[start : start + _CHUNK_ROWS]
            rows = self._rows.read(own)
            if self._axes is not None:  # in float64, so that a vector is the same however many are read beside it
                rows = (rows @ self._axes).astype(np.float32)
            if len(self._zeros):
                rows[np.isin(own, self._zeros)] = 0
            found[start : start + _CHUNK_ROWS] = rows
        return found.reshape(*places.shape, self.shape[1])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> AnyArray:
        """Return all vectors, float32 (n, l), or of the dtype that is asked for."""
        if copy is False:
            raise ValueError("a table that is stored in codes cannot be an array without a copy")
        return np.asarray(self[:], dtype=dtype)

    def _places(self, ids: Any) -> Int64Array:
        if isinstance(ids, slice):
            return np.arange(*ids.indices(len(self)), dtype=np.int64)
        if isinstance(ids, tuple) or ids is None or ids is Ellipsis:
            raise IndexError("a table takes ids of vectors, no other indices")
        found = np.asarray(ids)
        if found.dtype == np.bool_ and found.shape == (len(self),):
            return np.flatnonzero(found)
        if found.dtype.kind not in "iu" and found.size:
            raise IndexError(f"ids of table {self.name!r} are of type {found.dtype}, expected whole numbers")
        if found.size and not 0 <= int(found.min()) <= int(found.max()) < len(self):
            wrong = int(found.min()) if found.min() < 0 else int(found.max())
            raise IndexError(f"id {wrong} is out of range for table {self.name!r} of {len(self):,} vectors")
        return found.astype(np.int64)


class WithTables(Packed):
    """What has tables of vectors that can be looked up."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables, or of the fields with embeddings of categories."""
        own = set(self.schema.id_names)
        return tuple(field.name for field in self.schema.all_fields if field.name in own)

    @checked_arguments
    def table(self, name: str) -> VectorTable:
        """Return a table of vectors, or the embeddings of a field; rows are decoded when they are looked up.

        Embeddings of a factorization machine may be turned all together, which leaves their products as they are:
        ``auto`` stores them along their principal axes.

        Args:
            name: one of ``tables``.

        Raises:
            UsageError: there is no such table.
        """
        return VectorTable(self, name)


class _Reader(Protocol):
    """Decodes the vectors of a tier."""

    def read(self, ids: Int64Array) -> Float32Array:
        """Return the vectors of ids in the tier, float32 (ids, l).

        Args:
            ids: int64 (ids,).
        """


class _Rows:
    """Decodes the vectors of a field, whatever tier they are in."""

    def __init__(self, model: Packed, layout: FieldLayout, dim: int) -> None:
        self._dim = dim
        start, last = layout.tier_start, layout.tiers[-1]
        words = as_words(model.codes[start : last.stream.stop])
        moved = [replace(tier, code_start=tier.code_start - start) for tier in layout.tiers]
        self._tiers = [_reader(model, tier, own, words) for tier, own in zip(layout.tiers, moved, strict=True)]
        # The directory beside the stream of tiers counts from where the words begin.
        self._ranks = TierRanks(words, [replace(layout, tier_start=0)]) if layout.tier_bytes else None

    def read(self, ids: Int64Array) -> Float32Array:
        if self._ranks is None:
            return self._tiers[0].read(ids)
        tiers, places = (found[:, 0] for found in self._ranks.find(ids[:, None]))
        rows = np.empty((len(ids), self._dim), dtype=np.float32)
        for number, tier in enumerate(self._tiers):
            own = tiers == number
            rows[own] = tier.read(places[own])
        return rows


def _reader(model: Packed, tier: TierLayout, moved: TierLayout, words: UInt64Array) -> _Reader:
    if tier.quantizer.raw:
        return _RawTier(model, tier)
    return _CodedTier(model, tier, moved, words)


class _RawTier:
    """A tier whose vectors are stored as they are."""

    def __init__(self, model: Packed, tier: TierLayout) -> None:
        (place,) = tier.tables
        self._table = stored_numbers(place, model.values, model.codes)
        self._scale = None if place.scale is None else np.float32(model.values[place.scale])

    def read(self, ids: Int64Array) -> Float32Array:
        rows = self._table[ids].astype(np.float32)
        return rows if self._scale is None else rows * self._scale


class _CodedTier:
    """A tier whose vectors are codewords."""

    def __init__(self, model: Packed, tier: TierLayout, moved: TierLayout, words: UInt64Array) -> None:
        self._tables = [read_table(table, model.values, model.codes) for table in tier.tables]
        self._reader = CodeReader(words, [moved])

    def read(self, ids: Int64Array) -> Float32Array:
        codes = self._reader.read(ids.view(np.uint64)[:, None]).view(np.int64)
        return np.concatenate([table[own[:, 0]] for table, own in zip(self._tables, codes, strict=False)], axis=1)


def _listed(names: tuple[str, ...]) -> str:
    *most, last = [*map(repr, names[:5]), *([f"{len(names) - 5:,} more"] if len(names) > 5 else [])]
    return f"{', '.join(most)} or {last}" if most else last
