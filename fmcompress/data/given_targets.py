"""Predictions that stand in a column of the training rows, as what a model is to learn in place of labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.data.columns import finite
from fmcompress.data.numbers import floats
from fmcompress.data.stored_files import StoredFile
from fmcompress.data.table_reader import TableReader
from fmcompress.errors import DataError
from fmcompress.fm.links import Link
from fmcompress.types import Float32Array

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class TargetsReader:
    """Reads rows with (1 − d) · label + d · prediction in place of their labels; a ``Reader``.

    Attributes:
        inner: reads the rows, with the column of the predictions carried along.
        column: its name.
        link: of the model; predictions are in its range.
        share: d, 0 to 1.
        files: the files, in the order of their rows.
        starts: first row of each chunk, counted from 0 in all files.
        rows: number of rows.
        skipped: ids out of range and unknown tokens that were counted and skipped so far.
        kept: None, as nothing is carried along any more.
    """

    inner: TableReader
    column: str
    link: Link
    share: float
    files: list[StoredFile]
    starts: list[int]
    rows: int
    skipped: int = 0
    kept: pa.Schema | None = None

    @classmethod
    def of(cls, inner: TableReader, column: str, link: Link) -> TargetsReader:
        """Return what reads predictions in place of labels; see above."""
        return cls(inner, column, link, 1.0, inner.files, inner.starts, inner.rows)

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a chunk.

        Raises:
            DataError: a row cannot be used, or its prediction is missing or out of range.
        """
        place = self.inner.chunks[chunk]
        row = place.rows.first_row
        before = self.inner.skipped
        for batch in self.inner.read(chunk):
            self.skipped, before = self.skipped + self.inner.skipped - before, self.inner.skipped
            found = self._predictions(batch, f"{place.file}: row", row)
            row += len(batch)
            share = np.float32(self.share)
            yield replace(batch, labels=batch.labels + share * (found - batch.labels), kept=None)

    def _predictions(self, batch: Batch, where: str, first_row: int) -> Float32Array:
        """Return the predictions of rows, float32 (rows,)."""
        if batch.kept is None:
            raise DataError(f"{where} {first_row} has no column {self.column!r}")
        column = batch.kept.column(self.column)
        try:
            values = floats(column)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} {first_row}: {self.column} holds {column.type}, expected numbers") from error
        low, high = (self.link.low, self.link.high) if self.link.regression else (0.0, 1.0)
        wrong = ~(finite(values) & (values >= low) & (values <= high))
        if wrong.any():
            number = int(np.argmax(wrong))
            expected = "a number" if np.isinf(low) else f"a number from {low:g} to {high:g}"
            shown = column[number].as_py()
            raise DataError(
                f"{where} {first_row + number}: {self.column} is {'missing' if shown is None else shown}, "
                f"expected {expected}, as --targets needs it"
            )
        return values.astype(np.float32)
