"""Rows to tune on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.errors import UsageError

if TYPE_CHECKING:
    from fmcompress.data import ParquetRows
    from fmcompress.data.parquet import Match, Oov


@dataclass(frozen=True)
class DataOptions:
    """How rows are read.

    Attributes:
        label: column of the labels.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range is an ``error``, or counts as missing (``zero``).
    """

    label: str = "label"
    match: Match = "name"
    oov: Oov = "error"


@dataclass(frozen=True)
class TuningData:
    """Rows to tune on, rows to choose the best state by, and how they are read."""

    rows: ParquetRows
    valid: ParquetRows
    options: DataOptions = DataOptions()


def open_tuning_data(
    checkpoint: FMCheckpoint,
    train: str | Path | None,
    valid: str | Path | None,
    options: DataOptions | None = None,
) -> TuningData | None:
    """Open the data to tune on; without validation data every 20th training row is held out.

    Raises:
        UsageError: there is validation data but no training data.
        DataError: the files cannot be used.
    """
    options = options or DataOptions()
    if train is None:
        if valid is not None:
            raise UsageError("validation data without training data", hint="give the training data with --train")
        return None
    from fmcompress.data import open_training_rows

    rows, held_out = open_training_rows(
        train, valid, schema=checkpoint.schema, label=options.label, match=options.match, oov=options.oov
    )
    return TuningData(rows, held_out, options)
