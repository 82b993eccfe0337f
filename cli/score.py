"""``fmcompress score``: predictions for rows, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DatasetOption,
    FieldsOption,
    FirstIndexOption,
    ForceOption,
    InstanceNormOption,
    LabelOption,
    LinkOption,
    MapOption,
    Match,
    MatchOption,
    Oov,
    OovOption,
    VocabOption,
    reading,
)
from .state import progress_of


def score(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An artifact, or a checkpoint.", show_default=False)],
    data: Annotated[str, typer.Argument(metavar="DATA", help="File, folder or glob of rows.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write, with a column prediction.")
    ],
    fields: FieldsOption = None,
    link: LinkOption = None,
    map_: MapOption = None,
    vocab: VocabOption = None,
    instance_norm: InstanceNormOption = None,
    dataset: DatasetOption = None,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    first_index: FirstIndexOption = 0,
    force: ForceOption = False,
) -> None:
    """Write the prediction for each row of DATA.

    Predictions have the order of the rows. Labels are not needed.
    """
    from fmcompress.checkpoints.model_files import load_model
    from fmcompress.data.options import DataOptions
    from fmcompress.evaluation.predictors import write_predictions
    from fmcompress.evaluation.scores import open_rows_for
    from fmcompress.files import check_apart, check_writable

    check_writable(output, force=force)
    given = reading(fields=fields, link=link, keys=map_, vocab=vocab, instance_norm=instance_norm, dataset=dataset)
    loaded = load_model(model, **given)
    options = DataOptions(label, match.value, oov.value, first_index)
    rows = open_rows_for(loaded, data, options, labelled=False, vocabulary=given["vocabulary"])
    check_apart(output, [model, *filter(None, (vocab, dataset)), *rows.files])
    write_predictions(loaded, rows, output, force=force, progress=progress_of(context))
    print(
        f"{output} has {rows.rows:,} predictions"
        + (f"; {rows.out_of_range:,} ids were out of range or unknown" if rows.out_of_range else "")
    )
