"""``fmcompress evaluate``: models side by side on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    DatasetOption,
    FieldsOption,
    FirstIndexOption,
    Format,
    FormatOption,
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


def evaluate(
    context: typer.Context,
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL", help="Checkpoints and artifacts.", show_default=False)
    ],
    data: Annotated[str, typer.Option("--data", metavar="DATA", help="File, folder or glob of labelled rows.")],
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
    format_: FormatOption = Format.TEXT,
) -> None:
    """Show how well models predict, side by side.

    AUC, LogLoss and calibration, or the RMSE of a regression. Differences are to the first MODEL.
    """
    from fmcompress.checkpoints.model_files import load_model, stored_bytes
    from fmcompress.data.options import DataOptions
    from fmcompress.evaluation.scores import open_rows_for, score_rows
    from fmcompress.reporting.evaluation import EvaluatedModel, Evaluation

    given = reading(fields=fields, link=link, keys=map_, vocab=vocab, instance_norm=instance_norm, dataset=dataset)
    progress = progress_of(context)
    loaded = [(path, load_model(path, **given)) for path in models]
    options = DataOptions(label, match.value, oov.value, first_index)
    results = []
    for path, model in loaded:
        rows = open_rows_for(model, data, options, vocabulary=given["vocabulary"])
        scores = score_rows(model, rows)
        if rows.out_of_range:
            progress.note(f"{path}: {rows.out_of_range:,} ids out of range or unknown contribute nothing")
        results.append(EvaluatedModel.of(str(path), stored_bytes(path), scores))
    found = Evaluation(tuple(results))
    text = {Format.TEXT: found.to_text, Format.JSON: found.to_json, Format.MARKDOWN: found.to_markdown}[format_]()
    print(text)
