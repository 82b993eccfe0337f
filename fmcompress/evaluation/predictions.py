"""Predictions for many rows, streamed into a Parquet file."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fmcompress.data.rows import Rows
from fmcompress.evaluation.scores import Model, predictions_of, predictor
from fmcompress.files import replacing
from fmcompress.progress import SILENT, Progress

_SCHEMA = pa.schema([pa.field("prediction", pa.float32(), nullable=False)])


def write_predictions(
    model: Model, rows: Rows, path: Path, *, force: bool = False, progress: Progress = SILENT
) -> None:
    """Write the prediction of each row, as a column ``prediction`` of a Parquet file.

    Args:
        model: a compressed factorization machine, or a checkpoint.
        rows: what to score; streamed.
        path: file to write, through a temporary file that takes its place when it is whole.
        force: whether an existing file is replaced.
        progress: told of each batch.

    Raises:
        DataError: the rows cannot be used.
        OutputError: the file cannot be written.
    """
    scorer = predictor(model)
    with replacing(path, force=force) as file, pq.ParquetWriter(file, _SCHEMA) as writer:
        progress.start("scoring", rows.rows)
        for batch in rows.batches():
            writer.write_batch(pa.record_batch([pa.array(predictions_of(scorer, batch))], schema=_SCHEMA))
            progress.advance(len(batch))
        progress.finish()
