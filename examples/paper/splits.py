"""Training, validation and test rows: drawn, numbered, written as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from raw_text import LABEL
from vocabulary import Vocabulary

from fmcompress.errors import DataError
from fmcompress.files import replacing

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
ROW_GROUP_ROWS = 2**17

_MORE_ROWS = "give more rows, or another --seed"


class RowGroups:
    """Writes rows to a Parquet file in row groups of one size, whatever the pieces that they come in."""

    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self.rows = 0
        self._writer = pq.ParquetWriter(file, schema)
        self._held = schema.empty_table()

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and len(self._held):
            self._writer.write_table(self._held)
        self._writer.close()

    def add(self, table: pa.Table) -> None:
        """Write these rows, or keep them for the next row group."""
        self.rows += len(table)
        self._held = pa.concat_tables([self._held, table])
        while len(self._held) >= ROW_GROUP_ROWS:
            self._writer.write_table(self._held.slice(0, ROW_GROUP_ROWS), row_group_size=ROW_GROUP_ROWS)
            self._held = self._held.slice(ROW_GROUP_ROWS)


def split_paths(folder: Path) -> dict[str, Path]:
    """Return the file of each split."""
    return {split: folder / f"{split}.parquet" for split in SHARES}


def write_splits(
    tables: Iterable[pa.Table], vocabularies: Mapping[str, Vocabulary], folder: Path, *, seed: int, force: bool
) -> dict[str, int]:
    """Write each row to one of the splits, drawn at random, and return the rows of each.

    Args:
        tables: rows, a column of keys per field.
        vocabularies: the categories of each field.
        folder: where the files go; they appear when all rows are written.
        seed: of the draw. It depends on the number of a row only.
        force: whether files that exist are replaced.

    Raises:
        DataError: a split is left without rows, or the largest id of a field is in no row of train and valid,
            which would make the field smaller.
        OutputError: a file cannot be written.
    """
    rng = np.random.default_rng(seed)
    schema = pa.schema([(LABEL, pa.int8()), *((name, pa.int32()) for name in vocabularies)])
    largest = dict.fromkeys(vocabularies, -1)
    with ExitStack() as stack:
        writers = {
            split: stack.enter_context(RowGroups(stack.enter_context(replacing(path, force=force)), schema))
            for split, path in split_paths(folder).items()
        }
        for table in tables:
            coded = _coded(table, vocabularies)
            for split, rows in zip(writers, _drawn(len(table), rng), strict=True):
                part = coded.filter(rows)
                writers[split].add(part)
                if split != "test":
                    _keep_largest(largest, part)
        _check_filled(writers)
        _check_complete(vocabularies, largest)
    return {split: writer.rows for split, writer in writers.items()}


def _coded(table: pa.Table, vocabularies: Mapping[str, Vocabulary]) -> pa.Table:
    ids = {name: vocabulary.encode(table[name]) for name, vocabulary in vocabularies.items()}
    return pa.table({LABEL: table[LABEL], **ids})


def _drawn(rows: int, rng: np.random.Generator) -> list[pa.Array]:
    """Return which rows belong to each split, in the order of ``SHARES``."""
    draws = np.searchsorted(np.cumsum(list(SHARES.values()))[:-1], rng.random(rows), side="right")
    return [pa.array(draws == split) for split in range(len(SHARES))]


def _keep_largest(largest: dict[str, int], part: pa.Table) -> None:
    if len(part):
        for name, before in largest.items():
            largest[name] = max(before, pc.max(part[name]).as_py())


def _check_filled(writers: Mapping[str, RowGroups]) -> None:
    for split, writer in writers.items():
        if not writer.rows:
            raise DataError(f"no row was drawn for {split}: there are too few rows", hint=_MORE_ROWS)


def _check_complete(vocabularies: Mapping[str, Vocabulary], largest: Mapping[str, int]) -> None:
    for name, vocabulary in vocabularies.items():
        if largest[name] != vocabulary.cardinality - 1:
            raise DataError(
                f"field {name!r}: its most frequent value is in test rows alone: there are too few rows",
                hint=_MORE_ROWS,
            )
