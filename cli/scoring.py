"""``fmcompress evaluate`` and ``fmcompress score``: what models predict for rows."""

from pathlib import Path
from typing import Annotated

import typer

from fmcompress.training.device import Device

from .options import CheckpointGroup, ForceOption, FormatOption, RowsGroup, shown, with_groups
from .progress import progress_of


@with_groups
def evaluate(
    *,
    context: typer.Context,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL", help="Checkpoints and artifacts.", show_default=False)
    ],
    data: Annotated[str, typer.Option(metavar="DATA", help="File, folder, glob or URI of labelled rows.")],
    given: CheckpointGroup,
    reading: RowsGroup,
    device: Annotated[
        Device, typer.Option(help="Where to score: the native core on the cpu, or torch on a GPU.")
    ] = "cpu",
    format_: FormatOption = "text",
) -> None:
    """Show how well models predict, side by side.

    AUC, LogLoss and calibration, or the RMSE of a regression. Differences are to the first MODEL. "calibrated" is the
    LogLoss with the two numbers that scale and shift the logits best on these rows, "ECE" the expected calibration
    error of the predictions as they are, "calibration" their sum over the number of positive labels.
    """
    from fmcompress.checkpoints.model_files import load_model, stored_bytes
    from fmcompress.evaluation.deviations import auc_change_error
    from fmcompress.evaluation.scores import ScoredRows, score_data
    from fmcompress.finetune.scoring_device import scorer_on
    from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

    arguments, progress = given.given(), progress_of(context)
    loaded = [(path, load_model(path, **arguments)) for path in models]
    results: list[EvaluatedModel] = []
    first: ScoredRows | None = None
    for path, model in loaded:
        with scorer_on(device, model) as scorer:
            scored = score_data(model, str(path), data, reading.options(), arguments["vocabulary"], progress, scorer)
        first = first or scored
        change = auc_change_error(scored, first)
        results.append(EvaluatedModel(str(path), stored_bytes(path), scored.scores, change))
    print(shown(Evaluation(tuple(results)), format_))


@with_groups
def score(
    *,
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An artifact, or a checkpoint.", show_default=False)],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="File, folder, glob or URI of rows: Parquet, CSV or libsvm text.", show_default=False
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write, with a column prediction.")
    ],
    given: CheckpointGroup,
    reading: RowsGroup,
    keep: Annotated[
        str,
        typer.Option(metavar="COLUMN,…", help="Columns of DATA to write before prediction, such as keys."),
    ] = "",
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Threads that score. Default: one for each core.")
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write the prediction for each row of DATA.

    Predictions have the order of the rows. Labels are not needed.
    """
    from fmcompress.checkpoints.model_files import load_model
    from fmcompress.evaluation.predictors import check_kept, write_predictions
    from fmcompress.evaluation.scores import open_rows_for
    from fmcompress.files import check_apart, check_writable

    check_writable(output, force=force)
    kept = keep.split(",") if keep else []
    check_kept(kept)
    arguments = given.given()
    loaded = load_model(model, **arguments)
    rows = open_rows_for(loaded, data, reading.options(), labelled=False, vocabulary=arguments["vocabulary"], keep=kept)
    check_apart(output, [model, *given.files, *rows.files])
    write_predictions(loaded, rows, output, threads=threads, force=force, progress=progress_of(context))
    unknown = f"; {rows.out_of_range:,} ids were out of range or unknown" if rows.out_of_range else ""
    print(f"{output} has {rows.rows:,} predictions{unknown}")
