"""Rows that a size-quality curve needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fmcompress.data.options import DataOptions
from fmcompress.data.rows import TuningData
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.reporting.curve import MeasuredOn

if TYPE_CHECKING:
    from fmcompress.data.rows import Rows


@dataclass(frozen=True)
class CurveData:
    """Rows to tune on, and rows to measure on.

    Attributes:
        tuning: rows to tune on; None tunes nothing.
        test: rows to measure on; None measures on validation rows, where there are any.
    """

    tuning: TuningData | None = None
    test: Rows | None = None

    @property
    def measured(self) -> Rows | None:
        """The rows that models are measured on."""
        if self.test is not None:
            return self.test
        return None if self.tuning is None else self.tuning.valid

    @property
    def measured_on(self) -> MeasuredOn | None:
        """What these rows are."""
        if self.test is not None:
            return "test"
        return None if self.tuning is None else "validation"

    @property
    def files(self) -> list[str]:
        """All files."""
        parts = [self.test] if self.tuning is None else [self.test, self.tuning.rows, self.tuning.valid]
        return [file for rows in parts if rows is not None for file in rows.files]


def open_rows_of(checkpoint: FMCheckpoint, data: str | Path, options: DataOptions) -> Rows:
    """Open rows to measure on.

    Raises:
        DataError: the files cannot be used.
    """
    from fmcompress.evaluation.scores import open_rows_for

    return open_rows_for(checkpoint, data, options)
