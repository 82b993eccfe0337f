"""Out-of-fold predictions: each training row is scored by a model that was trained without it.

Training rows are parted into folds by turns (see ``data.batch.Fold``), and a model is trained without each. Predictions
wait in temporary files, one a fold, until all are written beside the rows' columns, in the rows' order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from fmcompress.backbones.training import TrainedFM, TrainOptions, train
from fmcompress.data.batch import Batch, folds_of, held_out
from fmcompress.data.rows import Rows
from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.predictors import predicted, write_scored
from fmcompress.evaluation.spilled_rows import SpilledRows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.processes.world import this_process
from fmcompress.progress import SILENT, Progress
from fmcompress.types import Float32Array, Int64Array

LEAST_FOLDS, MOST_FOLDS = 2, 100


def check_folds(count: int) -> None:
    """Raise UsageError where there cannot be so many folds."""
    if not LEAST_FOLDS <= count <= MOST_FOLDS:
        raise UsageError(f"{count} folds, expected {LEAST_FOLDS} to {MOST_FOLDS}")


def write_out_of_fold(
    found: TrainedFM,
    rows: Rows,
    valid: Rows,
    written: Rows,
    path: Path,
    *,
    folds: int,
    options: TrainOptions | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Train a model without each fold, and write all rows with the prediction of the one that did not see them.

    Rows that are held out for validation none has seen; the model of all other rows predicts them.

    Args:
        found: what was trained on all training rows: its learning rate and L2 weight are those of the folds.
        rows: training rows.
        valid: validation rows, which choose states and calibrate.
        written: the rows of the training files, held out ones too, with the columns to write.
        path: Parquet file to write, with the columns that ``written`` carries along and a column ``prediction``.
        folds: how many there are.
        options: how ``found`` was trained.
        force: whether an existing file is replaced.
        progress: told of each epoch.

    Raises:
        UsageError: there cannot be so many folds, or a column is called as predictions are.
        DataError: there are fewer rows than folds, or they cannot be used.
        OutputError: the file cannot be written.
    """
    check_folds(folds)
    if rows.rows < folds:
        raise DataError(f"{rows.rows} training rows, expected as many as there are folds, {folds}, at least")
    options = replace(options or TrainOptions(), lr=found.lr, l2=found.l2)
    kept: list[SpilledRows] = []
    for fold in range(folds):
        progress.note(f"fold {fold + 1} of {folds}: training without it")
        model = train(rows.without_fold(fold, folds), valid, options, progress=progress).checkpoint
        kept.append(_scored(model, rows.fold(fold, folds)))
    if written.rows != rows.rows:
        kept.append(_scored(found.checkpoint, rows.held_out()))
    if this_process().first:
        write_scored(_in_order(written, kept, folds), written, path, force=force, progress=progress)


def _scored(model: FMCheckpoint, rows: Rows) -> SpilledRows:
    """Return the predictions for some rows; the first of several processes makes them."""
    spilled = SpilledRows()
    if this_process().first:
        for batch, predictions in predicted(model, rows):
            spilled.add(predictions, batch.labels)
    return spilled


def _in_order(rows: Rows, kept: list[SpilledRows], folds: int) -> Iterator[tuple[Batch, Float32Array]]:
    """Yield rows with their predictions, float32 (rows,), which are kept fold by fold, and then of those held out."""
    sources = [_Source(own) for own in kept]
    start = 0
    for batch in rows.batches():
        source_of = _sources(np.arange(start, start + len(batch)), folds, apart=len(kept) > folds)
        predictions = np.empty(len(batch), np.float32)
        for number, source in enumerate(sources):
            own = source_of == number
            predictions[own] = source.take(int(own.sum()))
        start += len(batch)
        yield batch, predictions


def _sources(rows: Int64Array, folds: int, *, apart: bool) -> Int64Array:
    """Return which predictions those of rows with these numbers, int64 (n,), are among, int64 (n,)."""
    return np.where(held_out(rows), folds, folds_of(rows, folds, "most")) if apart else folds_of(rows, folds)


class _Source:
    """Predictions that are taken in their order, so many at a time."""

    def __init__(self, spilled: SpilledRows) -> None:
        self._blocks = spilled.blocks()
        self._left: Float32Array = np.empty(0, np.float32)

    def take(self, count: int) -> Float32Array:
        """Return the next ones, float32 (count,)."""
        while len(self._left) < count:
            block = next(self._blocks, None)
            if block is None:
                raise DataError("rows are missing that were there before: the files change while they are read")
            self._left = np.concatenate([self._left, block[0]])
        found, self._left = self._left[:count], self._left[count:]
        return found
