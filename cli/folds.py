"""Options of ``fmcompress train`` for out-of-fold predictions."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from fmcompress.errors import UsageError

if TYPE_CHECKING:
    from fmcompress.backbones.training import TrainedFM, TrainOptions
    from fmcompress.data.options import DataOptions
    from fmcompress.data.rows import Rows
    from fmcompress.progress import Progress


@dataclass(frozen=True)
class FoldsGroup:
    """Models that are trained without a part of the rows each, which they predict."""

    PANEL: ClassVar = "Out-of-fold predictions"

    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Parts of the rows, 2 to 100; a model more is trained for each.", show_default=False
        ),
    ] = None
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Parquet file to write: all rows of DATA, and a column prediction.", show_default=False
        ),
    ] = None

    def check(self, output: Path, *, force: bool) -> None:
        """Raise now what would end a long job.

        Args:
            output: the checkpoint to write.
            force: whether an existing file is replaced.

        Raises:
            UsageError: an option makes no sense.
            OutputError: the file cannot be written.
        """
        if self.folds is None and self.predictions is None:
            return
        from fmcompress.backbones.folds import check_folds
        from fmcompress.files import check_writable

        if self.folds is None or self.predictions is None:
            raise UsageError("--folds and --predictions go together: how many models, and the file that they fill")
        check_folds(self.folds)
        if os.path.realpath(self.predictions) == os.path.realpath(output):
            raise UsageError(f"--predictions and --output are both {output}")
        check_writable(self.predictions, force=force)

    def opened(self, data: str, rows: Rows, options: DataOptions) -> Rows | None:
        """Return the rows that are to be written; None where none are.

        Args:
            data: the training rows.
            rows: these, as they are trained on.
            options: how they are read.

        Raises:
            UsageError: the rows have no columns that can be written.
            OutputError: the file would take the place of one of theirs.
        """
        if self.predictions is None:
            return None
        from fmcompress.data.rows import open_rows
        from fmcompress.evaluation.predictors import check_kept
        from fmcompress.files import check_apart

        columns = [options.label, *rows.schema.order]
        check_kept(columns)
        check_apart(self.predictions, rows.files)
        return open_rows(data, rows.schema, options, keep=columns)

    def write(
        self,
        found: TrainedFM,
        data: tuple[Rows, Rows, Rows | None],
        options: TrainOptions,
        *,
        force: bool,
        to: Progress,
    ) -> None:
        """Train the models, and write what they predict.

        Args:
            found: the model of all rows.
            data: training rows, validation rows, rows to write.
            options: how ``found`` was trained.
            force: whether an existing file is replaced.
            to: told of each epoch.
        """
        rows, valid, written = data
        if self.folds is None or self.predictions is None or written is None:
            return
        from fmcompress.backbones.folds import write_out_of_fold
        from fmcompress.processes.world import this_process

        write_out_of_fold(
            found, rows, valid, written, self.predictions, folds=self.folds, options=options, force=force, progress=to
        )
        if this_process().first:
            print(f"{self.predictions}: out-of-fold predictions for {written.rows:,} rows")
