"""What scores rows with a model of any kind, and predictions streamed into a Parquet file."""

from functools import singledispatch
from pathlib import Path
from typing import Any, Protocol

from fmcompress.artifact import PackedFM
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.files import replacing
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.progress import SILENT, Progress
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.types import Float32Array, Int32Array

Model = FMCheckpoint | PackedFM
"""What can be scored: both have a schema, a link and perhaps a vocabulary."""


class Predictor(Protocol):
    """A model that scores rows of category ids and of values of numeric fields."""

    def predict(self, ids: Int32Array, values: Float32Array | None = None) -> Float32Array:
        """Return the predictions of rows, float32 (rows,).

        Args:
            ids: category ids, -1 where one is missing, int32 (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where no field is numeric.
        """


@singledispatch
def predictor(model: Any) -> Predictor:
    """Return what scores rows with a model: a checkpoint, or a packed or compressed factorization machine."""
    raise TypeError(f"{type(model).__name__} is no model")


@predictor.register
def _(model: FMCheckpoint) -> Predictor:
    from fmcompress.fm.scorer import FMScorer

    return FMScorer(model)


@predictor.register
def _(model: PackedFM) -> Predictor:
    from fmcompress.serve.scorer import open_scorer

    return open_scorer(model)


@predictor.register
def _(model: CompressedFM) -> Predictor:
    return model  # its scorer is made once, and kept


def predictions_of(scorer: Predictor, batch: Batch) -> Float32Array:
    """Return the predictions for a batch, float32 (rows,)."""
    return scorer.predict(batch.ids, batch.values) if batch.values.shape[1] else scorer.predict(batch.ids)


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
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field("prediction", pa.float32(), nullable=False)])
    scorer = predictor(model)
    with replacing(path, force=force) as file, pq.ParquetWriter(file, schema) as writer:
        progress.start("scoring", rows.rows)
        for batch in rows.batches():
            writer.write_batch(pa.record_batch([pa.array(predictions_of(scorer, batch))], schema=schema))
            progress.advance(len(batch))
        progress.finish()
