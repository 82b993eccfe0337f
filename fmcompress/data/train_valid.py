"""Rows to tune on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.data.options import DataOptions
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint

if TYPE_CHECKING:
    from fmcompress.data.rows import Rows

__all__ = ["DataOptions", "TuningData", "open_tuning_data"]


@dataclass(frozen=True)
class TuningData:
    """Rows to tune on, rows to choose the best state by, and how they are read."""

    rows: Rows
    valid: Rows
    options: DataOptions = field(default_factory=DataOptions)

    @property
    def files(self) -> list[str]:
        """All files that are read."""
        return [*self.rows.files, *self.valid.files]


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
    from fmcompress.data.numbers import labels_for
    from fmcompress.data.rows import open_training_rows

    rows, held_out = open_training_rows(
        train,
        valid,
        schema=checkpoint.schema,
        options=options,
        labels=labels_for(checkpoint.link_function),
        vocabulary=checkpoint.vocabulary,
    )
    return TuningData(rows, held_out, options)
