"""Tables of vectors, whatever model they are of, and how often each vector is looked up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import CheckpointError, UsageError
from fmcompress.fm.checkpoint import Source
from fmcompress.fm.schema import Schema, SharedField, VectorField
from fmcompress.types import AnyArray, BoolArray, Float32Array, Int64Array

_LARGEST = 1e15
"""Squares of larger numbers, summed up, would be beyond fp32."""

_MOST_WHOLE = 2**53
MOST_LISTED = 64
"""Vectors of zeros of a table that are told by their ids; more of them are a tier of their own."""

_CHUNK_ROWS = 16_384
_FLOAT_BYTES = 4


@checked_arguments
@dataclass(frozen=True, eq=False)
class EmbeddingTables:
    """Tables of vectors by name, and counts of their vectors.

    Tables that are the same to the last bit are stored once.

    Attributes:
        vectors: of each table, floats (n, l), kept as float32; n and l may differ from table to table.
        counts: how often each vector was looked up, whole numbers (n,), kept as int64, of all tables or some.
        source: the file that they came from; None for tables made in memory.

    Raises:
        UsageError: there is no table, or a name is empty or not valid Unicode.
        CheckpointError: a table has another shape, no rows, or numbers that cannot be stored; counts do not fit.
    """

    vectors: Mapping[str, Any]
    counts: Mapping[str, Any] = field(default_factory=dict)
    source: Source | None = None

    def __post_init__(self) -> None:
        if not self.vectors:
            raise UsageError("there is no table", hint="give at least one, as {name: array}")
        vectors = {name: _vectors(name, _array(name, own)) for name, own in self.vectors.items()}
        for name in self.counts:
            if name not in vectors:
                raise CheckpointError(f"there are counts of {name!r}, but no such table")
        counts = {name: _counts(name, _array(name, own), len(vectors[name])) for name, own in self.counts.items()}
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "counts", counts)
        _ = self.schema  # names are checked there

    @cached_property
    def schema(self) -> Schema:
        """The tables, those of which others are copies first among their like."""
        copies = _copies(self.vectors)
        return Schema.in_order(
            SharedField(name, copies[name])
            if name in copies
            else VectorField(name, len(table), dim=table.shape[1], zeros=self._zeros(name))
            for name, table in self.vectors.items()
        )

    @property
    def fp32_bytes(self) -> int:
        """Bytes of the tables in fp32, copies left out: what ratios are taken of."""
        return _FLOAT_BYTES * sum(int(self.vectors[name].size) for name in self.schema.names)

    def _zeros(self, name: str) -> tuple[int, ...]:
        """Return the ids of vectors of zeros, where they are few."""
        found = np.flatnonzero(zero_rows(self.vectors[name]))
        return tuple(found.tolist()) if len(found) <= MOST_LISTED else ()

    def lookups(self, name: str) -> Int64Array | None:
        """Return how often each vector of a table was looked up, by all its names, int64 (n,); None if unknown."""
        names = [name, *(copy.name for copy in self.schema.shared if copy.table == name)]
        known = [self.counts[own] for own in names if own in self.counts]
        return np.sum(known, axis=0, dtype=np.int64) if known else None


def zero_rows(vectors: Float32Array) -> BoolArray:
    """Return which vectors, float32 (n, l), are zeros, bool (n,)."""
    return np.asarray(~vectors.any(axis=1))


def _array(name: str, values: Any) -> AnyArray:
    """Return what may be an array as one, of any shape and dtype."""
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"numbers of table {name!r} are no array ({str(error).splitlines()[0][:80]})") from error


def _vectors(name: str, vectors: AnyArray) -> Float32Array:
    """Return the vectors of a table, float32 (n, l), once they are checked."""
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise CheckpointError(
            f"table {name!r} is of shape {vectors.shape} and type {vectors.dtype}, expected floats (vectors, size)"
        )
    if 0 in vectors.shape:
        raise CheckpointError(f"table {name!r} is empty: its shape is {vectors.shape}")
    for start in range(0, len(vectors), _CHUNK_ROWS):
        chunk = vectors[start : start + _CHUNK_ROWS]
        fine = np.abs(chunk) <= np.float64(_LARGEST)  # NaN is not
        if fine.all():
            continue
        row, column = np.argwhere(~fine)[0].tolist()
        found = chunk[row, column]
        what = f"holds {found:.3g}, beyond ±{_LARGEST:.0e}," if np.isfinite(found) else "holds NaN or infinite numbers,"
        raise CheckpointError(f"table {name!r} {what} the first in row {start + row}")
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _counts(name: str, found: AnyArray, rows: int) -> Int64Array:
    """Return the counts of a table, int64 (n,), once they are checked."""
    if found.shape != (rows,) or found.dtype.kind not in "iuf":
        raise CheckpointError(
            f"counts of table {name!r} are of shape {found.shape} and type {found.dtype}, expected {rows:,} numbers"
        )
    wrong = ~((found >= 0) & (found <= _MOST_WHOLE) & (found == np.floor(found)))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise CheckpointError(f"counts of table {name!r} are no whole numbers of 0 or more: row {row} has {found[row]}")
    return found.astype(np.int64)


def _copies(vectors: Mapping[str, Float32Array]) -> dict[str, str]:
    """Return for each table that is a copy of an earlier one the name of that one."""
    shapes = [table.shape for table in vectors.values()]
    first: dict[tuple[tuple[int, ...], str], str] = {}
    found = {}
    for name, table in vectors.items():
        if shapes.count(table.shape) > 1:
            earlier = first.setdefault((table.shape, hashlib.sha256(table.data).hexdigest()), name)
            if earlier != name:
                found[name] = earlier
    return found
