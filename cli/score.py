"""``fmcompress score``: predictions for rows, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .groups import with_groups
from .options import CheckpointGroup, ForceOption, RowsGroup
from .state import progress_of


@with_groups
def score(
    *,
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An artifact, or a checkpoint.", show_default=False)],
    data: Annotated[str, typer.Argument(metavar="DATA", help="File, folder or glob of rows.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write, with a column prediction.")
    ],
    given: CheckpointGroup,
    reading: RowsGroup,
    force: ForceOption = False,
) -> None:
    """Write the prediction for each row of DATA.

    Predictions have the order of the rows. Labels are not needed.
    """
    from fmcompress.checkpoints.model_files import load_model
    from fmcompress.evaluation.predictors import write_predictions
    from fmcompress.evaluation.scores import open_rows_for
    from fmcompress.files import check_apart, check_writable

    check_writable(output, force=force)
    arguments = given.given()
    loaded = load_model(model, **arguments)
    rows = open_rows_for(loaded, data, reading.options(), labelled=False, vocabulary=arguments["vocabulary"])
    check_apart(output, [model, *given.files, *rows.files])
    write_predictions(loaded, rows, output, force=force, progress=progress_of(context))
    unknown = f"; {rows.out_of_range:,} ids were out of range or unknown" if rows.out_of_range else ""
    print(f"{output} has {rows.rows:,} predictions{unknown}")
