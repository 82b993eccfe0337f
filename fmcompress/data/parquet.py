"""Rows in Parquet files, streamed: columns matched to fields, ids and labels checked."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from fmcompress.data.batch import MISSING, Batch
from fmcompress.errors import DataError
from fmcompress.schema import Schema

CHUNK_ROWS = 65_536

Match = Literal["name", "order"]
Oov = Literal["error", "zero"]
Part = Literal["all", "most", "held-out"]

_HELD_OUT_EVERY = 20
_READ_ERRORS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError)


@dataclass(frozen=True)
class _Slab:
    """A row group of a file: what is read at a time."""

    fragment: ds.ParquetFileFragment
    file: str
    first_row: int


class ParquetRows:
    """The rows of one or more Parquet files, for the fields of a schema.

    Attributes:
        schema: the fields whose ids are read.
        rows: number of rows.
        out_of_range: ids out of range that the last pass counted and skipped, with ``oov="zero"``.
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
        self._label = label
        self._oov = oov
        self._part = part
        self._slabs: list[_Slab] = []
        self.rows = 0
        columns: list[str] | None = None
        for file, fragment in _open(path):
            found = _match_columns(file, fragment.physical_schema, schema, label, match, label or skip)
            if columns is not None and found != columns:
                raise DataError(f"{file}: its columns differ from those of the other files")
            columns = found
            self._add(file, fragment)
        self._columns = columns or []
        if self.rows == 0:
            raise DataError(f"{path}: holds no rows")

    def _add(self, file: str, fragment: ds.ParquetFileFragment) -> None:
        first_row = 0
        for slab in fragment.split_by_row_group():
            group_rows = sum(group.num_rows for group in slab.row_groups)
            self._slabs.append(_Slab(slab, file, first_row))
            first_row += group_rows
        held_out = first_row // _HELD_OUT_EVERY
        self.rows += {"all": first_row, "most": first_row - held_out, "held-out": held_out}[self._part]

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
            first_row = slab.first_row
            for table in _read(slab, columns):
                batch = self._batch(table, slab.file, first_row)
                if self._part != "all":
                    batch = batch.take(self._kept(first_row, len(batch)))
                first_row += table.num_rows
                if len(batch):
                    yield batch

    def _batch(self, table: pa.RecordBatch, file: str, first_row: int) -> Batch:
        ids = np.empty((table.num_rows, len(self.schema)), dtype=np.int32)
        for number, field in enumerate(self.schema.fields):
            values = _integers(table.column(number), file, field.name)
            out = (values < MISSING) | (values >= field.cardinality)
            if out.any():
                if self._oov == "error":
                    row = int(np.argmax(out))
                    raise DataError(
                        f"{file}: row {first_row + row}, field {field.name!r}: id {values[row]} is out of range, "
                        f"expected 0 to {field.cardinality - 1}",
                        hint="--oov zero counts such ids and skips them",
                    )
                self.out_of_range += int(out.sum())
                values = np.where(out, MISSING, values)
            ids[:, number] = values
        if self._label is None:
            return Batch(ids, np.full(len(ids), np.nan, dtype=np.float32))
        return Batch(ids, _labels(table.column(len(self.schema)), file, first_row))

    def _kept(self, first_row: int, rows: int) -> npt.NDArray[np.bool_]:
        place = np.arange(first_row, first_row + rows) % _HELD_OUT_EVERY
        last = _HELD_OUT_EVERY - 1
        return np.equal(place, last) if self._part == "held-out" else np.not_equal(place, last)


def infer_schema(path: str | Path, *, label: str = "label", names: Sequence[str] | None = None) -> Schema:
    """Return the schema of data without a model: a field per column but the label, one more than its largest id.

    Args:
        path: a Parquet file, a folder of them, or a glob.
        label: column of the labels.
        names: the columns that are fields; None takes all but the label.

    Raises:
        DataError: no such file, no Parquet, no rows, a column that is not of integers, no id in a column.
    """
    largest: dict[str, int] = {}
    columns: list[str] | None = None
    for file, fragment in _open(path):
        found = fragment.physical_schema
        if label not in found.names:
            raise _missing_column(file, label, found, "label column")
        columns = list(names or columns or [name for name in found.names if name != label])
        for name in columns:
            if name not in found.names:
                raise _missing_column(file, name, found, "column of field")
            _check_integer(file, name, found)
        for table in _read(_Slab(fragment, file, 0), columns):
            for name, column in zip(columns, table.columns, strict=True):
                values = _integers(column, file, name)
                largest[name] = max(largest.get(name, MISSING), int(values.max(initial=MISSING)))
    if not columns or not largest:
        raise DataError(f"{path}: holds no {'rows' if columns else f'columns beside {label!r}'}")
    for name, value in largest.items():
        if value == MISSING:
            raise DataError(f"{path}: column {name!r} holds no id", hint="leave the column out of the data")
    return Schema.of((name, largest[name] + 1) for name in columns)


def open_training_rows(
    train: str | Path, valid: str | Path | None, *, schema: Schema | None = None, label: str = "label"
) -> tuple[ParquetRows, ParquetRows]:
    """Open training and validation rows; without validation data every 20th training row is held out.

    Args:
        train: Parquet file, folder or glob.
        valid: the same, for validation.
        schema: the fields; None takes those of the data, as large as the largest ids in either.
        label: column of the labels.

    Raises:
        DataError: the files cannot be used.
    """
    if schema is None:
        schema = infer_schema(train, label=label)
        if valid is not None:
            schema = schema.union(infer_schema(valid, label=label, names=schema.names))
    if valid is not None:
        return ParquetRows(train, schema, label=label), ParquetRows(valid, schema, label=label)
    return (
        ParquetRows(train, schema, label=label, part="most"),
        ParquetRows(train, schema, label=label, part="held-out"),
    )


def _open(path: str | Path) -> Iterator[tuple[str, ds.ParquetFileFragment]]:
    """Yield name and handle of each file, in the order of their names."""
    files = _files(path)
    try:
        dataset = ds.dataset([str(file) for file in files], format="parquet")
        fragments = list(dataset.get_fragments())
    except _READ_ERRORS as error:
        raise DataError(f"{path}: not a readable Parquet file ({_first_line(error)})") from error
    for file, fragment in zip(files, fragments, strict=True):
        try:
            fragment.ensure_complete_metadata()
        except _READ_ERRORS as error:
            raise DataError(f"{file}: not a readable Parquet file ({_first_line(error)})") from error
        yield str(file), fragment


def _files(path: str | Path) -> list[Path]:
    if Path(path).is_dir():
        files = sorted(Path(path).rglob("*.parquet"))
        if not files:
            raise DataError(f"{path}: the folder holds no .parquet file")
        return files
    files = [Path(path)] if Path(path).exists() else sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not files:
        raise DataError(f"{path}: no such file or folder")
    return files


def _match_columns(
    file: str, found: pa.Schema, schema: Schema, label: str | None, match: Match, skip: str
) -> list[str]:
    """Return the column of each field."""
    if label is not None and label not in found.names:
        raise _missing_column(file, label, found, "label column")
    if match == "order":
        columns = [name for name in found.names if name != skip]
        if len(columns) != len(schema):
            raise DataError(
                f"{file}: {len(columns)} columns beside the label, expected one for each of {len(schema)} fields"
            )
    else:
        columns = list(schema.names)
    for name in columns:
        if name not in found.names:
            raise _missing_column(file, name, found, "column of field")
        _check_integer(file, name, found)
    return columns


def _missing_column(file: str, name: str, found: pa.Schema, what: str) -> DataError:
    shown = ", ".join(found.names[:12]) + (", …" if len(found.names) > 12 else "")
    hint = "name it with --label" if what == "label column" else "--match order takes the columns as they stand"
    return DataError(f"{file}: {what} {name!r} is missing, found {shown}", hint=hint)


def _check_integer(file: str, name: str, found: pa.Schema) -> None:
    if found.names.count(name) > 1:
        raise DataError(f"{file}: two columns are named {name!r}")
    kind = found.field(name).type
    if not pa.types.is_integer(kind):
        raise DataError(f"{file}: column {name!r} is of type {kind}, expected integers (category ids)")


def _read(slab: _Slab, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Yield record batches of these columns, in this order."""
    try:
        scan = slab.fragment.to_batches(columns=columns, batch_size=CHUNK_ROWS, batch_readahead=2)
        for table in scan:
            yield table.select(columns)
    except _READ_ERRORS as error:
        raise DataError(f"{slab.file}: broken Parquet data ({_first_line(error)})") from error


def _integers(column: pa.Array, file: str, name: str) -> npt.NDArray[np.int64]:
    try:
        filled = pc.fill_null(column.cast(pa.int64()), MISSING)
    except pa.ArrowInvalid as error:
        raise DataError(f"{file}: field {name!r}: an id is out of range ({_first_line(error)})") from error
    values: npt.NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return values


def _labels(column: pa.Array, file: str, first_row: int) -> npt.NDArray[np.float32]:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{file}: the label column is of type {kind}, expected 0 and 1")
    values: npt.NDArray[Any] = pc.cast(column, pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{file}: row {first_row + row}: label is {column[row]}, expected 0 or 1")
    return values.astype(np.float32, copy=False)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
