"""Rows in Parquet files, streamed, as ids and labels of the fields of a schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fmcompress.data.batch import MISSING, Batch
from fmcompress.data.columns import (
    Match,
    candidates,
    check_integer,
    check_label,
    id_error,
    integers,
    labels_of,
    match_columns,
)
from fmcompress.data.parquet_files import Slab, open_files, row_groups
from fmcompress.errors import DataError
from fmcompress.schema import MAX_CATEGORIES, Schema

__all__ = ["Match", "Oov", "ParquetRows", "Part", "infer_schema", "open_training_rows"]

Oov = Literal["error", "zero"]
Part = Literal["all", "most", "held-out"]

_HELD_OUT_EVERY = 20

# A field of so many categories, and so many for each row, is one of hashes or keys: a model would hold nothing else.
_MANY_CATEGORIES = 50_000_000
_MANY_PER_ROW = 100


class ParquetRows:
    """The rows of one or more Parquet files, for the fields of a schema.

    Attributes:
        schema: the fields whose ids are read.
        rows: number of rows.
        out_of_range: ids out of range that the last pass counted and skipped, with ``oov="zero"``.
        files: the files, in the order of their rows.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        *,
        label: str | None = "label",
        match: Match = "name",
        oov: Oov = "error",
        skip: str = "label",
        part: Part = "all",
    ) -> None:
        """Open the files and check their columns; rows are read later, batch by batch.

        Args:
            path: a Parquet file, a folder of them, or a glob.
            schema: the fields.
            label: column of the labels; None where labels are not wanted.
            match: whether columns belong to fields by name or, the label left out, by their order.
            oov: what becomes of an id out of range: an error, or the same as a missing value.
            skip: column that is no field where columns are matched by order and labels are not wanted.
            part: all rows; or all but every 20th, "most"; or just every 20th, "held-out".

        Raises:
            DataError: no such file, no Parquet, no rows, a column is missing or of the wrong type.
        """
        self.schema = schema
        self.out_of_range = 0
        self.files: list[str] = []
        self._label = label
        self._oov = oov
        self._part = part
        self._slabs: list[Slab] = []
        self._columns: list[str] = []
        total = 0
        for file, fragment in open_files(path):
            found = fragment.physical_schema
            columns = match_columns(file, found, schema, label=label, match=match, skip=label or skip)
            if self.files and columns != self._columns:
                raise DataError(f"{file}: its columns differ from those of {self.files[0]}")
            self._columns = columns
            self.files.append(file)
            self._slabs.extend(row_groups(file, fragment, start=total))
            total += fragment.count_rows()
        self.rows = _part_rows(path, total, part)

    def batches(self, *, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield all rows in batches of up to 65,536.

        Args:
            order: draws the order of the row groups; without it they come as they stand in the files.

        Raises:
            DataError: an id out of range (unless ``oov="zero"``), a label other than 0 and 1, a broken file.
        """
        self.out_of_range = 0
        slabs = self._slabs if order is None else [self._slabs[i] for i in order.permutation(len(self._slabs))]
        columns = [*self._columns, *([self._label] if self._label else [])]
        for slab in slabs:
            for done, table in slab.read(columns):
                batch = self._batch(table, slab.file, slab.first_row + done)
                if self._part != "all":
                    batch = batch.take(self._kept(slab.start + done, len(batch)))
                if len(batch):
                    yield batch

    def _batch(self, table: pa.RecordBatch, file: str, first_row: int) -> Batch:
        ids = np.empty((table.num_rows, len(self.schema)), dtype=np.int32)
        for number, field in enumerate(self.schema.fields):
            values = integers(table.column(number))
            out = (values < MISSING) | (values >= field.cardinality)
            if out.any():
                if self._oov == "error":
                    found = id_error(
                        file, first_row, field.name, table.column(number), out, largest=field.cardinality - 1
                    )
                    raise DataError(str(found), hint="--oov zero counts such ids and skips them")
                self.out_of_range += int(out.sum())
                values = np.where(out, MISSING, values)
            ids[:, number] = values
        if self._label is None:
            return Batch(ids, np.full(len(ids), np.nan, dtype=np.float32))
        return Batch(ids, labels_of(table.column(len(self.schema)), file, first_row))

    def _kept(self, start: int, rows: int) -> npt.NDArray[np.bool_]:
        place = np.arange(start, start + rows) % _HELD_OUT_EVERY
        last = _HELD_OUT_EVERY - 1
        return np.equal(place, last) if self._part == "held-out" else np.not_equal(place, last)


def _part_rows(path: str | Path, total: int, part: Part) -> int:
    """Return how many of the rows belong to a part; there must be some."""
    if total == 0:
        raise DataError(f"{path}: holds no rows")
    held_out = total // _HELD_OUT_EVERY
    if part != "all" and held_out == 0:
        raise DataError(
            f"{path}: its {total} rows are too few to hold every {_HELD_OUT_EVERY}th out for validation",
            hint="give validation rows with --valid",
        )
    return {"all": total, "most": total - held_out, "held-out": held_out}[part]


def infer_schema(path: str | Path, *, label: str = "label", names: Sequence[str] | None = None) -> Schema:
    """Return the schema of data without a model: a field per column but the label, one more than its largest id.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        label: column of the labels.
        names: the columns that are fields; None takes all but the label.

    Raises:
        DataError: no such file, no Parquet, no rows, a column that is not of integers, no id in a column, ids
            that are hashes or keys rather than categories.
    """
    largest: dict[str, int] = {}
    columns = None if names is None else list(names)
    rows = 0
    for file, fragment in open_files(path):
        found = fragment.physical_schema
        check_label(file, label, found)
        columns = candidates(found, label) if columns is None else columns
        if not columns:
            raise DataError(f"{file}: holds no columns beside {label!r}, expected one for each field")
        for name in columns:
            check_integer(file, name, found)
        for first_row, table in Slab(fragment, file).read(columns):
            rows += table.num_rows
            for name, column in zip(columns, table.columns, strict=True):
                largest[name] = max(largest.get(name, MISSING), _largest_id(file, first_row, name, column))
    if not rows:
        raise DataError(f"{path}: holds no rows")
    for name, value in largest.items():
        if value == MISSING:
            raise DataError(f"{path}: column {name!r} holds no id", hint="leave the column out of the data")
        if value > max(_MANY_CATEGORIES, _MANY_PER_ROW * rows):
            raise DataError(
                f"{path}: column {name!r} has ids up to {value:,} in {rows:,} rows, expected categories 0, 1, 2, …",
                hint="number its categories from 0 on, or give the fields with --fields",
            )
    return Schema.of((name, value + 1) for name, value in largest.items())


def _largest_id(file: str, first_row: int, name: str, column: pa.Array) -> int:
    values = integers(column)
    too_large = values >= MAX_CATEGORIES
    if too_large.any():
        raise id_error(file, first_row, name, column, too_large, largest=MAX_CATEGORIES - 1)
    return int(values.max(initial=MISSING))


def open_training_rows(
    train: str | Path,
    valid: str | Path | None,
    *,
    schema: Schema | None = None,
    label: str = "label",
    match: Match = "name",
    oov: Oov = "error",
) -> tuple[ParquetRows, ParquetRows]:
    """Open training and validation rows; without validation data every 20th training row is held out.

    Args:
        train: Parquet file, folder or glob.
        valid: the same, for validation.
        schema: the fields; None takes those of the data, as large as the largest ids in either.
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range is an ``error``, or counts as missing (``zero``).

    Raises:
        DataError: the files cannot be used.
    """
    if schema is None:
        schema = infer_schema(train, label=label)
        if valid is not None:
            schema = schema.union(infer_schema(valid, label=label, names=schema.names))
    rows = partial(ParquetRows, schema=schema, label=label, match=match, oov=oov)
    if valid is not None:
        return rows(train), rows(valid)
    return rows(train, part="most"), rows(train, part="held-out")
