"""``fmcompress score``: predictions for rows, streamed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import FieldsOption, ForceOption, LabelOption, Match, MatchOption, Oov, OovOption
from .state import progress_of


def score(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="An artifact, or a checkpoint.", show_default=False)],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Parquet file, folder or glob of rows.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write, with a column prediction.")
    ],
    fields: FieldsOption = None,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    force: ForceOption = False,
) -> None:
    """Write the predicted probability of each row of DATA, in the order of its rows; labels are not needed."""
    from fmcompress.data import ParquetRows
    from fmcompress.field_specs import parse_fields
    from fmcompress.files import check_apart, check_writable
    from fmcompress.models import load_model
    from fmcompress.serve.batch import write_predictions

    check_writable(output, force=force)
    loaded = load_model(model, fields=parse_fields(fields) if fields else None)
    rows = ParquetRows(data, loaded.schema, label=None, skip=label, match=match.value, oov=oov.value)
    check_apart(output, [model, *rows.files])
    write_predictions(loaded, rows, output, force=force, progress=progress_of(context))
    print(
        f"{output} has {rows.rows:,} predictions"
        + (f"; {rows.out_of_range:,} ids were out of range" if rows.out_of_range else "")
    )
