"""``fmcompress evaluate``: models side by side on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import FieldsOption, Format, FormatOption, LabelOption, Match, MatchOption, Oov, OovOption
from .state import progress_of


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL…", help="Checkpoints and artifacts.", show_default=False)
    ],
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="Parquet file, folder or glob of labelled rows.")],
    fields: FieldsOption = None,
    label: LabelOption = "label",
    match: MatchOption = Match.NAME,
    oov: OovOption = Oov.ERROR,
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show AUC, LogLoss and calibration of MODELs on DATA; differences are to the first one."""
    from fmcompress.data import ParquetRows
    from fmcompress.evaluation import score_rows
    from fmcompress.field_specs import parse_fields
    from fmcompress.models import load_model, stored_bytes
    from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

    schema = parse_fields(fields) if fields else None
    progress = progress_of(context)
    loaded = [(path, load_model(path, fields=schema)) for path in models]
    results = []
    for path, model in loaded:
        rows = ParquetRows(data, model.schema, label=label, match=match.value, oov=oov.value)
        scores = score_rows(model, rows)
        if rows.out_of_range:
            progress.note(f"{path}: {rows.out_of_range:,} ids out of range contribute nothing")
        results.append(EvaluatedModel.of(str(path), stored_bytes(path), scores))
    found = Evaluation(tuple(results))
    text = {Format.TEXT: found.to_text, Format.JSON: found.to_json, Format.MARKDOWN: found.to_markdown}[format_]()
    print(text)
