"""Rows in lines of text, ``label index:value …``, as libFM and libsvm take them, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fmcompress.data.batch import Batch
from fmcompress.data.files import find_files
from fmcompress.data.flat import FlatReader
from fmcompress.data.libsvm_chunks import Chunk, chunks_of
from fmcompress.data.libsvm_lines import Lines, parse_lines
from fmcompress.data.numbers import Floats, Labels, label_error, wrong_labels
from fmcompress.data.options import Oov
from fmcompress.data.parts import Part, part_of, part_rows
from fmcompress.errors import DataError
from fmcompress.fm.schema import Schema

_BATCH_ROWS = 65_536


class LibsvmRows:
    """The rows of one or more files of text, for the fields of a schema.

    Attributes:
        schema: the fields that are read.
        rows: number of rows.
        out_of_range: indices out of range that the last pass counted and skipped, with ``oov="zero"``.
        files: the files, in the order of their rows.
    """

    def __init__(
        self,
        path: str | Path,
        schema: Schema,
        *,
        labels: Labels | None = "binary",
        oov: Oov = "error",
        first_index: int = 0,
        part: Part = "all",
    ) -> None:
        """Find the rows; they are read later, chunk by chunk.

        Args:
            path: a file, a folder of them, or a glob.
            schema: the fields; indices are the rows of one table of all of them, in their order.
            labels: what labels are, where -1 is 0 too if they are binary; None where they are not wanted.
            oov: what becomes of an index out of range: an error, or the same as a missing value.
            first_index: index of the first row of that table.
            part: which of the rows.

        Raises:
            DataError: no such file, no rows, no text, fields that share a table.
        """
        self.schema = schema
        self.out_of_range = 0
        self._labels = labels
        self._oov = oov
        self._first_index = first_index
        self._part = part
        self._chunks: list[Chunk] = []
        if schema.shared:
            raise DataError(
                f"{path}: its indices do not tell fields {schema.shared[0].name!r} and {schema.shared[0].table!r} "
                f"apart, which share a table",
                hint="give the data as Parquet, with a column for each field",
            )
        files = find_files(path)
        self.files = [str(file) for file in files]
        total = 0
        for file in files:
            for chunk in chunks_of(file, start=total):
                self._chunks.append(chunk)
                total += chunk.rows
        self.rows = part_rows(path, total, part)

    def batches(self, *, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield all rows in batches of up to 65,536.

        Args:
            order: draws the order of the chunks; without it they come as they stand in the files.

        Raises:
            DataError: a line that is none, an index out of range (unless ``oov="zero"``), a label of another kind, a
                category whose value is not 1, two categories of one field.
        """
        self.out_of_range = 0
        reader = FlatReader(self.schema, self._oov, self._first_index)
        chunks = self._chunks if order is None else [self._chunks[i] for i in order.permutation(len(self._chunks))]
        for chunk in chunks:
            lines = parse_lines(chunk.read(), chunk.file, chunk.first_line)
            if len(lines) != chunk.rows:
                raise DataError(f"{chunk.file}: has changed while it was read")
            ids, values = reader.read(lines)
            batch = part_of(Batch(ids, self._labels_of(lines), values), chunk.start, self._part)
            self.out_of_range = reader.skipped
            for first in range(0, len(batch), _BATCH_ROWS):
                yield batch.take(slice(first, first + _BATCH_ROWS))

    def _labels_of(self, lines: Lines) -> Floats:
        if self._labels is None:
            return np.full(len(lines), np.nan, dtype=np.float32)
        labels: npt.NDArray[np.float64] = lines.labels
        if self._labels == "binary":
            labels = np.where(labels == -1, 0, labels)
        wrong = wrong_labels(labels, self._labels)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise label_error(lines.where(row), f"{lines.labels[row]:g}", self._labels)
        return labels.astype(np.float32)
