"""Parquet tables of weights: a file, or a folder of files, with a row for each category.

field     text, the field of the category; may be left out where there is one field
key       64-bit integers: ids where those of a field are 0 to n − 1, else keys; or text: tokens; may be left out where
          rows stand in the order of ids
v         lists of floats, all of one length; or columns v0, v1, …: the embedding
w         float, the linear weight; left out: zeros
count     whole number, how often the category was seen; may be left out

Beside its columns the first file may have the texts ``bias``, a number, and ``link``. ``--map`` gives other names of
columns, and of the text of the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import count, takewhile
from typing import Any

import numpy as np

from fmcompress.checkpoints.checkpoint_file import CheckpointFile
from fmcompress.checkpoints.dialect import Given
from fmcompress.checkpoints.files.parquet_rows import Batch, ParquetRows, parquet_files
from fmcompress.checkpoints.files.placed_rows import RowsInMemory, RowsOnDisk
from fmcompress.checkpoints.large_tables import stays_on_disk
from fmcompress.checkpoints.reading_errors import listed, quoted
from fmcompress.checkpoints.tools.field_tables import NamedFields, named
from fmcompress.checkpoints.tools.parquet_keys import FieldIds, FieldRows, by_field, is_whole, taken
from fmcompress.errors import CheckpointError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import Table, on_disk
from fmcompress.fm.schema import Field
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import Float32Array, Int64Array

_BIAS, _LINK = "bias", "link"


def recognises(file: CheckpointFile) -> bool:
    """Return whether it is Parquet with embeddings in columns of the names that they have."""
    files = _files(file)
    return bool(files) and _dim_columns(ParquetRows.open(files[:1]), "v") is not None


def is_parquet(file: CheckpointFile) -> bool:
    """Return whether it is Parquet, whatever its columns."""
    return bool(_files(file))


def read(file: CheckpointFile, given: Given) -> FMCheckpoint:
    """Read a table; names in ``given.keys`` are those of its columns.

    Raises:
        CheckpointError: a column is missing, or has values that it cannot have; a key is there twice; the table is too
            large for the folder of temporary files.
    """
    rows = ParquetRows.open(_files(file))
    layout = _Layout.of(rows, given.keys or {})
    rows.check()
    own = _keys(rows, layout, given)
    fields = named([Field(name, ids.cardinality) for name, ids in own.items()], given.fields)
    weights = _read(rows, layout, fields, own)
    known = {name: found for name in fields.schema.names if (found := own[fields.own[name]].known) is not None}
    return FMCheckpoint(
        fields.schema,
        _bias(rows, given),
        weights.linear,
        weights.table(),
        rows.texts.get(_LINK, "sigmoid"),
        counts=weights.counts,
        vocabulary=Vocabulary(known) if known else None,
    )


@dataclass(frozen=True)
class _Layout:
    """Which columns a table has.

    Attributes:
        names: by what they are: ``field``, ``key``, ``w``, ``count``; those that it has.
        embedding: the columns of the embedding: one with lists, or one for each number.
        in_lists: whether it is one with lists.
    """

    names: Mapping[str, str]
    embedding: tuple[str, ...]
    in_lists: bool

    @classmethod
    def of(cls, rows: ParquetRows, given: Mapping[str, str]) -> _Layout:
        """Return the columns of a table.

        Raises:
            CheckpointError: one that is needed or named is missing, or is of another type.
        """
        found = _dim_columns(rows, given.get("v", "v"))
        if found is None:
            raise CheckpointError(
                f"it has no column of embeddings, lists of floats, found {listed(rows.types)}",
                hint="say which it is: --map v=COLUMN; of columns emb0, emb1, … write v=emb",
            )
        names = {}
        for part in ("field", "key", "w", "count"):
            name = given.get(part, part)
            if name in rows.types:
                names[part] = name
                _check_type(part, name, rows.types[name])
            elif part in given:
                raise CheckpointError(f"it has no column {listed([name])}, found {listed(rows.types)}")
        layout = cls(names, *found)
        layout._check_others(rows, given.get("ignore", "").split(","))
        return layout

    def _check_others(self, rows: ParquetRows, ignored: Sequence[str]) -> None:
        """Check that no other column holds weights."""
        for name, kind in rows.types.items():
            inner = getattr(kind, "value_type", kind)
            if (
                name not in self.columns
                and _is_floating(inner)
                and not any(fnmatchcase(name, each) for each in ignored)
            ):
                raise CheckpointError(
                    f"it also has a column {listed([name])} of floats",
                    hint=f"if it is no part of the model, pass --map v={self.shown},ignore={quoted(name)}",
                )

    @property
    def shown(self) -> str:
        """What ``--map`` calls the embeddings."""
        return self.embedding[0] if self.in_lists else self.embedding[0].removesuffix("0")

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.names.values(), *self.embedding)

    @property
    def of_keys(self) -> tuple[str, ...]:
        """Those that tell which category a row is."""
        return tuple(name for part, name in self.names.items() if part in ("field", "key"))

    def key(self, batch: Batch) -> Any:
        """Return the keys of a batch, or None."""
        return batch.rows.column(self.names["key"]) if "key" in self.names else None

    def embeddings(self, batch: Batch, dim: int) -> Float32Array:
        """Return the embeddings of a batch, float32 (rows, dim)."""
        if self.in_lists:
            return batch.lists(self.embedding[0], dim)
        return np.stack([batch.floats(name) for name in self.embedding], axis=1)


def _dim_columns(rows: ParquetRows, name: str) -> tuple[tuple[str, ...], bool] | None:
    """Return the columns of embeddings, and whether it is one with lists; None where there are none."""
    import pyarrow as pa

    kind = rows.types.get(name)
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if kind is not None and any(is_list(kind) for is_list in lists) and _is_floating(kind.value_type):
        return (name,), True
    numbered = tuple(takewhile(rows.types.__contains__, (f"{name}{number}" for number in count())))
    if numbered and all(_is_floating(rows.types[each]) for each in numbered):
        return numbered, False
    return None


def _is_floating(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind))


def _check_type(part: str, name: str, kind: Any) -> None:
    import pyarrow as pa

    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(inner) or pa.types.is_large_string(inner)
    fits = {
        "field": text,
        "key": text or is_whole(kind),
        "w": _is_floating(kind),
        "count": is_whole(kind),
    }[part]
    if not fits:
        expected = {"field": "text", "key": "integers or text", "w": "floats", "count": "integers"}[part]
        raise CheckpointError(f"its column {quoted(name)} is of type {quoted(str(kind))}, expected {expected}")


def _files(file: CheckpointFile) -> list[Any]:
    return parquet_files(file.path)


def _keys(rows: ParquetRows, layout: _Layout, given: Given) -> dict[str, FieldIds]:
    """Return the categories of each field, by one look at the keys of all rows."""
    found: dict[str, FieldRows] = {}
    for batch in rows.batches(layout.of_keys or layout.embedding[:1]):
        keys = layout.key(batch)
        for name, own in by_field(batch, layout.names):
            field = found.setdefault(name, FieldRows(name or _only_field(layout, given)))
            if keys is None:
                field.count(batch.size if isinstance(own, slice) else len(own))
            else:
                field.add(taken(keys, own))
    if not found:
        raise CheckpointError("it has no rows")
    return {field.name: field.ids() for field in found.values()}


def _only_field(layout: _Layout, given: Given) -> str:
    """Return the name of the field of a table without a column of fields: the one given, or that of its keys."""
    if given.fields is not None and len(given.fields.names) == 1:
        return given.fields.names[0]
    return layout.names.get("key", "key")


@dataclass
class _Weights:
    """The weights of all categories, as they come."""

    linear: Float32Array
    counts: Int64Array | None
    embeddings: RowsInMemory | RowsOnDisk

    def table(self) -> Table:
        """Return the embeddings, float32 (rows, dim), once all are there."""
        found = self.embeddings.table()
        return found if isinstance(found, np.ndarray) else on_disk([found])


def _read(rows: ParquetRows, layout: _Layout, fields: NamedFields, own: Mapping[str, FieldIds]) -> _Weights:
    """Return the weights of all rows, by a second look at them, in which each gets its place."""
    firsts = {fields.own[name]: first for name, first in zip(fields.schema.names, fields.schema.offsets, strict=True)}
    categories = fields.schema.categories
    dim = 0
    weights: _Weights | None = None
    for batch in rows.batches(layout.columns):
        if weights is None:
            dim = _dim(layout, batch)
            place = RowsOnDisk if stays_on_disk(categories, dim) else RowsInMemory
            counts = np.zeros(categories, np.int64) if "count" in layout.names else None
            weights = _Weights(np.zeros(categories, np.float32), counts, place(categories, dim))
        places = np.empty(batch.size, np.int64)
        keys = layout.key(batch)
        for name, part in by_field(batch, layout.names):
            ids = own[name] if name else next(iter(own.values()))
            size = batch.size if isinstance(part, slice) else len(part)
            first = firsts[name] if name else 0
            places[part] = first + ids.of(None if keys is None else taken(keys, part), size)
        weights.embeddings.put(places, layout.embeddings(batch, dim))
        if "w" in layout.names:
            weights.linear[places] = batch.floats(layout.names["w"])
        if weights.counts is not None:
            weights.counts[places] = batch.numbers(layout.names["count"])
    if weights is None:
        raise CheckpointError("it has no rows")
    return weights


def _dim(layout: _Layout, batch: Batch) -> int:
    """Return the size of the embeddings, that of the first one."""
    if not layout.in_lists:
        return len(layout.embedding)
    first = batch.column(layout.embedding[0])[0]
    if not len(first):
        raise CheckpointError(f"its column {quoted(layout.embedding[0])} begins with an empty list")
    return len(first)


def _bias(rows: ParquetRows, given: Given) -> float:
    """Return the bias that stands beside the columns; 0 where there is none."""
    name = (given.keys or {}).get("b", _BIAS)
    text = rows.texts.get(name)
    if text is None:
        if "b" in (given.keys or {}):
            raise CheckpointError(f"it has no text {listed([name])} beside its columns, found {listed(rows.texts)}")
        return 0.0
    try:
        return float(text)
    except ValueError as error:
        raise CheckpointError(f"its text {listed([name])} is {quoted(text)}, expected a number") from error
