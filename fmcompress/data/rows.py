"""Rows of data, whatever files hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fmcompress.data.batch import Batch, Fold, Split, rows_in_split, split_of, split_rows
from fmcompress.data.data_files import DataFile, find_files
from fmcompress.data.file_kinds import Kind, readable_kind_of
from fmcompress.data.options import DataOptions, Labels, labels_for
from fmcompress.data.parts import part_of
from fmcompress.data.stored_files import StoredFile, each_of
from fmcompress.data.summary import Doubt, RowSummary, doubts_of_training, doubts_of_validation, summarize
from fmcompress.errors import DataError, UsageError
from fmcompress.files import without_secrets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.pooling import MEAN, Pooling
from fmcompress.fm.schema import Schema
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.processes.world import this_process
from fmcompress.types import Int64Array

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536
_USUAL = DataOptions()
_KINDS: dict[Kind, str] = {"parquet": "Parquet", "csv": "CSV", "libsvm": "libsvm text", "other": "none of these"}


class Reader(Protocol):
    """Reads files chunk by chunk, for the fields of a schema.

    Attributes:
        files: the files, in the order of their rows.
        starts: first row of each chunk, counted from 0 in all files.
        rows: number of rows.
        skipped: ids out of range and unknown tokens that were counted and skipped so far, with ``oov="zero"``.
        kept: names and types of the columns that are carried along; None where there are none.
    """

    files: list[StoredFile]
    starts: list[int]
    rows: int
    skipped: int
    kept: pa.Schema | None

    def read(self, chunk: int) -> Iterator[Batch]:
        """Yield the rows of a chunk, after checking them."""


@dataclass
class Rows:
    """The rows of one or more files, for the fields of a schema.

    Attributes:
        schema: the fields that are read.
        rows: number of rows.
    """

    schema: Schema
    rows: int
    _reader: Reader
    _split: Split
    _span: range

    @property
    def files(self) -> list[str]:
        """Names of the files, in the order of their rows."""
        return [str(file) for file in self._reader.files]

    @property
    def files_bytes(self) -> int:
        """Bytes of the files together."""
        return sum(file.size_bytes for file in self._reader.files)

    @property
    def kept(self) -> pa.Schema | None:
        """Names and types of the columns that batches carry along; None where there are none."""
        return self._reader.kept

    @property
    def out_of_range(self) -> int:
        """Ids out of range and unknown tokens that the last pass counted and skipped, with ``oov="zero"``."""
        return self._reader.skipped

    @cached_property
    def summary(self) -> RowSummary:
        """What the rows hold, counted in one pass when it is first asked for."""
        return summarize(self.schema, self.own_part().batches())

    @property
    def before(self) -> int:
        """How many rows lie in the parts before this one."""
        return rows_in_split(range(self._span.start), self._split)

    def own_part(self) -> Rows:
        """Return the part of this process, of as many parts as there are processes; all rows where it is alone."""
        world = this_process()
        return self if world.alone else self.part(world.rank, world.size)

    def part(self, rank: int, size: int) -> Rows:
        """Return the rows that one of several processes reads: each row belongs to one of them.

        Parts follow each other in the files, and are as long as each other but for 2 %, within which they end where
        what is read at a time ends (row groups, some MiB of text), so that nothing is read twice; where nothing ends
        there, a row group is read by both neighbours, each of which takes its rows.

        Args:
            rank: which, counted from 0.
            size: how many parts there are.
        """
        span = part_of(self._reader.starts, self._span, rank, size)
        return replace(self, rows=rows_in_split(span, self._split), _reader=copy(self._reader), _span=span)

    def held_out(self) -> Rows:
        """Return, of rows that are ``most``, the others."""
        return replace(
            self, rows=rows_in_split(self._span, "held-out"), _reader=copy(self._reader), _split="held-out"
        )  # a copy counts what it skips by itself

    def without_fold(self, number: int, count: int) -> Rows:
        """Return the rows that are not in one of several folds, see ``data.batch.Fold``.

        Args:
            number: which, counted from 0.
            count: how many folds there are.
        """
        return self._of_fold(number, count, without=True)

    def fold(self, number: int, count: int) -> Rows:
        """Return the rows that are in one of several folds, see ``without_fold``."""
        return self._of_fold(number, count, without=False)

    def _of_fold(self, number: int, count: int, *, without: bool) -> Rows:
        if isinstance(self._split, Fold):
            raise TypeError("rows of folds have none themselves")
        split = Fold(self._split, number, count, without)
        return replace(self, rows=rows_in_split(self._span, split), _reader=copy(self._reader), _split=split)

    def sizes_in_order(self, order: np.random.Generator, parts: int = 1) -> Int64Array:
        """Return how many rows of what is read at a time belong to each of several parts, int64 (chunks, parts).

        Args:
            order: draws their order, as it does for ``batches``.
            parts: how many there are.
        """
        starts, stops = self._reader.starts, [*self._reader.starts[1:], self._reader.rows]
        spans = [part_of(self._reader.starts, self._span, rank, parts) for rank in range(parts)]
        sizes = [
            [rows_in_split(_common(span, range(starts[chunk], stops[chunk])), self._split) for span in spans]
            for chunk in order.permutation(len(starts)).tolist()
        ]
        return np.array(sizes, dtype=np.int64).reshape(-1, parts)

    def batches(self, *, order: np.random.Generator | None = None) -> Iterator[Batch]:
        """Yield all rows in batches of up to 65,536.

        Args:
            order: draws the order of what is read at a time; without it rows come as they stand in the files. It is
                drawn for all rows whatever the part: the parts' orders are that of the whole without the other parts.

        Raises:
            DataError: the rows cannot be used: an id out of range or an unknown token (unless ``oov="zero"``), a label
                or a value that is none, a broken file.
        """
        reader, span = self._reader, self._span
        reader.skipped = 0
        starts, stops = reader.starts, [*reader.starts[1:], reader.rows]
        for chunk in range(len(starts)) if order is None else order.permutation(len(starts)).tolist():
            if starts[chunk] < span.stop and stops[chunk] > span.start:
                skipped = reader.skipped
                yield from self._of_chunk(chunk, starts[chunk])
                if starts[chunk] < span.start:
                    reader.skipped = skipped  # those of a row group that is cut count where it begins

    def _of_chunk(self, chunk: int, start: int) -> Iterator[Batch]:
        """Yield the rows of a chunk, which begins with row ``start``, that belong to the part and to the split."""
        for batch in self._reader.read(chunk):
            if start >= self._span.stop:
                return
            whole = self._span.start <= start and start + len(batch) <= self._span.stop
            own = batch if whole else batch.take(slice(max(0, self._span.start - start), self._span.stop - start))
            kept = split_of(own, max(start, self._span.start), self._split)
            start += len(batch)
            for first in range(0, len(kept), _BATCH_ROWS):
                yield kept.take(slice(first, first + _BATCH_ROWS))


def _common(one: range, other: range) -> range:
    """Return the rows that are in both of two ranges."""
    first = max(one.start, other.start)
    return range(first, max(first, min(one.stop, other.stop)))


def open_rows(
    path: str | Path,
    schema: Schema,
    options: DataOptions = _USUAL,
    *,
    labels: Labels | None = "binary",
    vocabulary: Vocabulary | None = None,
    split: Split = "all",
    keep: Sequence[str] = (),
) -> Rows:
    """Open rows of Parquet, CSV or libsvm text, which the files' content decides.

    Args:
        path: a file, a folder of them, a glob, or a URI of these.
        schema: the fields.
        options: how the rows are read.
        labels: what labels are; None where they are not wanted.
        vocabulary: tokens of the fields that may have columns of strings.
        split: which of the rows.
        keep: columns that batches carry along as they are.

    Raises:
        DataError: the files cannot be used, or there are no rows although labels are wanted.
        UsageError: columns of text are to be kept.
    """
    reader: Reader
    files, path = find_files(path), without_secrets(path)
    kind = _kind_of_all(path, files)
    if kind == "libsvm":
        if keep:
            raise UsageError(f"{path} is libsvm text, which has no columns that could be kept")
        from fmcompress.data.libsvm_reader import open_libsvm

        reader = open_libsvm(path, files, schema, options, labels)
    else:
        from fmcompress.data.table_reader import open_tables

        kept = tuple(dict.fromkeys(keep))
        reader = open_tables(files, kind, schema, options, labels, vocabulary or Vocabulary(), kept)
    # Rows without labels are there to be scored: of none there are no predictions.
    rows = split_rows(path, reader.rows, split) if reader.rows or labels is not None else 0
    return Rows(schema, rows, reader, split, range(reader.rows))


def open_training_rows(
    train: str | Path,
    valid: str | Path | None,
    *,
    schema: Schema | None = None,
    options: DataOptions = _USUAL,
    labels: Labels = "binary",
    vocabulary: Vocabulary | None = None,
    pooling: Pooling = MEAN,
) -> tuple[Rows, Rows]:
    """Open training and validation rows; without validation data every 20th training row is held out.

    Args:
        train: a file, a folder, a glob or a URI.
        valid: the same, for validation.
        schema: the fields; None takes those of the data, as large as the largest ids in either.
        options: how the rows are read.
        labels: what labels are.
        vocabulary: tokens of the fields that may have columns of strings.
        pooling: of columns of lists, where no schema is given.

    Raises:
        DataError: the files cannot be used.
    """
    if schema is None:
        schema = this_process().first_does(partial(_fields_of, train, valid, options.label, pooling))
    rows = partial(open_rows, schema=schema, options=options, labels=labels, vocabulary=vocabulary)
    if valid is not None:
        return rows(train), rows(valid)
    most = rows(train, split="most")
    return most, most.held_out()


def _fields_of(train: str | Path, valid: str | Path | None, label: str, pooling: Pooling) -> Schema:
    """Return the fields that the columns of data without a model are."""
    from fmcompress.data.table_reader import infer_schema

    def fields(path: str | Path, names: Sequence[str] | None = None) -> Schema:
        files, path = find_files(path), without_secrets(path)
        kind = _kind_of_all(path, files)
        if kind == "libsvm":
            raise DataError(f"{path}: text does not say which fields its indices belong to", hint="pass --fields")
        return infer_schema(path, files, kind, label=label, names=names, pooling=pooling)

    schema = fields(train)
    return schema if valid is None else schema.union(fields(valid, schema.names))


def _kind_of_all(path: str | Path, files: Sequence[DataFile]) -> Kind:
    """Return what files are, which must be of one kind.

    Raises:
        DataError: they are of several, or one is of a kind that cannot be read.
    """
    kinds = each_of(readable_kind_of, [file.stored for file in files], files[0].stored.patience)
    other = next((number for number, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is not None and {kinds[0], kinds[other]} != {"parquet", "other"}:
        raise DataError(
            f"{path}: {files[0].name} is {_KINDS[kinds[0]]} and {files[other].name} is "
            f"{_KINDS[kinds[other]]}, expected files of one kind"
        )
    return kinds[0]


@dataclass(frozen=True)
class TuningData:
    """Rows to tune on, rows to choose the best state by, and how they are read.

    Attributes:
        rows: training rows.
        valid: validation rows.
        options: how they are read.
        targets: column of the training rows with predictions to learn; None where there is none.
        predicted: the training rows with these predictions in place of labels; None where there are none.
        valid_is_seen: whether validation rows are held out of training rows, all of which the checkpoint may have
            seen: nothing is to be fitted on them.
    """

    rows: Rows
    valid: Rows
    options: DataOptions
    targets: str | None = None
    predicted: Rows | None = None
    valid_is_seen: bool = False

    @property
    def files(self) -> list[str]:
        """All files that are read."""
        return [*self.rows.files, *self.valid.files]

    def learned(self, share: float) -> Rows | None:
        """Return the training rows with (1 − share) · label + share · prediction in place of labels, if there are any.

        Args:
            share: of the predictions that were given, 0 to 1.
        """
        if self.predicted is None:
            return None
        return replace(self.predicted, _reader=replace(self.predicted._reader, share=share))  # type: ignore[type-var]

    def doubts(self, *, regression: bool) -> list[Doubt]:
        """Return what is doubtful of the rows; where nothing has asked yet, they are counted.

        Args:
            regression: whether labels are numbers, not 0 and 1.
        """
        return doubts_of(self.rows, self.valid, regression=regression)


def doubts_of(rows: Rows, valid: Rows, *, regression: bool = False) -> list[Doubt]:
    """Return what is doubtful of training and validation rows; where nothing has asked yet, they are counted.

    Args:
        rows: training rows.
        valid: validation rows.
        regression: whether labels are numbers, not 0 and 1.
    """
    return [*doubts_of_training(rows.summary), *doubts_of_validation(valid.summary, regression=regression)]


def open_tuning_data(
    checkpoint: FMCheckpoint,
    train: str | Path | None,
    valid: str | Path | None,
    options: DataOptions,
    targets: str | None = None,
) -> TuningData | None:
    """Open the data to tune on; without validation data every 20th training row is held out.

    Args:
        checkpoint: the factorization machine.
        train: training rows: a file, a folder, a glob or a URI.
        valid: validation rows.
        options: how rows are read.
        targets: column of the training rows with predictions to learn, all of which are checked.

    Raises:
        UsageError: there is validation data, or a column of targets, but no training data.
        DataError: the files cannot be used.
    """
    if train is None:
        for what, given in (("validation data", valid), ("targets", targets)):
            if given is not None:
                raise UsageError(f"{what} without training data", hint="give the training data with --train")
        return None
    labels, vocabulary = labels_for(checkpoint.link_function), checkpoint.vocabulary
    rows = open_training_rows(
        train, valid, schema=checkpoint.schema, options=options, labels=labels, vocabulary=vocabulary
    )
    if targets is None:
        return TuningData(*rows, options, valid_is_seen=valid is None)
    kept = open_rows(
        train,
        checkpoint.schema,
        options,
        labels=labels,
        vocabulary=vocabulary,
        split="all" if valid is not None else "most",
        keep=(targets,),
    )
    return TuningData(*rows, options, targets, _predicted(kept, targets, checkpoint), valid is None)


def _predicted(rows: Rows, column: str, checkpoint: FMCheckpoint) -> Rows:
    """Return rows with predictions, in a column that they carry along, in place of labels, once all are checked."""
    from fmcompress.data.given_targets import TargetsReader
    from fmcompress.data.table_reader import TableReader

    if not isinstance(rows._reader, TableReader):
        raise UsageError("targets are a column of the training rows, which text has none of")
    found = replace(rows, _reader=TargetsReader.of(rows._reader, column, checkpoint.link_function))
    for _ in found.own_part().batches():
        pass
    return found


def count_categories(rows: Rows) -> Int64Array:
    """Return how often each category is active, int64 (categories,), counted in one pass once and for all.

    Fields that share a table count together: a category may be active in several of them. Where a field has several
    values in a row each of them counts.
    """
    return rows.summary.counts
