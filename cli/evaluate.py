"""``fmcompress evaluate``: models side by side on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .groups import with_groups
from .options import CheckpointGroup, Format, FormatOption, RowsGroup, shown
from .state import progress_of


@with_groups
def evaluate(
    *,
    context: typer.Context,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL", help="Checkpoints and artifacts.", show_default=False)
    ],
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="File, folder or glob of labelled rows.")],
    given: CheckpointGroup,
    reading: RowsGroup,
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show how well models predict, side by side.

    AUC, LogLoss and calibration, or the RMSE of a regression. Differences are to the first MODEL.
    """
    from fmcompress.checkpoints.model_files import load_model, stored_bytes
    from fmcompress.evaluation.scores import open_rows_for, score_rows
    from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

    arguments, progress = given.given(), progress_of(context)
    loaded = [(path, load_model(path, **arguments)) for path in models]
    results = []
    for path, model in loaded:
        rows = open_rows_for(model, data, reading.options(), vocabulary=arguments["vocabulary"])
        scores = score_rows(model, rows)
        if rows.out_of_range:
            progress.note(f"{path}: {rows.out_of_range:,} ids out of range or unknown contribute nothing")
        results.append(EvaluatedModel.of(str(path), stored_bytes(path), scores))
    print(shown(Evaluation(tuple(results)), format_))
