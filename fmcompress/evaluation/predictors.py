"""What scores rows with a model of any kind, and predictions streamed into a Parquet file."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import singledispatch
from pathlib import Path
from typing import Any

from fmcompress.artifact import PackedFM
from fmcompress.cores import usable_cores
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.errors import UsageError
from fmcompress.files import replacing
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.predictor import Predictor
from fmcompress.progress import SILENT, Progress
from fmcompress.serve.compressed_fm import CompressedFM
from fmcompress.types import Float32Array

Model = FMCheckpoint | PackedFM
"""What can be scored: both have a schema, a link and perhaps a vocabulary."""


_GROUP_ROWS = 65_536
"""Of a row group that is written, at least: batches may be small."""

PREDICTION = "prediction"
"""Column of the predictions in a file."""


@singledispatch
def predictor(model: Any) -> Predictor:
    """Return what scores rows with a model: a checkpoint, or a packed or compressed factorization machine."""
    raise TypeError(f"{type(model).__name__} is no model")


@predictor.register
def _(model: FMCheckpoint) -> Predictor:
    from fmcompress.fm.scorers import scorer_of

    return scorer_of(model)


@predictor.register
def _(model: PackedFM) -> Predictor:
    from fmcompress.serve.scorer import open_scorer

    return open_scorer(model)


@predictor.register
def _(model: CompressedFM) -> Predictor:
    return model  # its scorer is made once, and kept


def predictions_of(scorer: Predictor, batch: Batch, *, threads: int = 1) -> Float32Array:
    """Return the predictions for a batch, float32 (rows,)."""
    values = batch.values if batch.values.shape[1] else None
    return scorer.predict(batch.ids, values, bags=batch.bags, threads=threads)


def predicted(
    model: Model, rows: Rows, *, threads: int | None = None, scorer: Predictor | None = None
) -> Iterator[tuple[Batch, Float32Array]]:
    """Yield rows in batches, and their predictions, float32 (rows,); the next batch is read while one is scored.

    Args:
        model: a compressed factorization machine, or a checkpoint.
        rows: what to score; streamed.
        threads: among how many threads the rows of a batch are split; None takes all cores that may be used.
        scorer: of the model; None takes what ``predictor`` gives.

    Raises:
        DataError: the rows cannot be used.
    """
    scorer = scorer or predictor(model)
    threads = usable_cores() if threads is None else threads
    batches = rows.batches()
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch, predictions_of(scorer, batch, threads=threads)


def write_predictions(
    model: Model,
    rows: Rows,
    path: Path,
    *,
    threads: int | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Write the columns that rows carry along and, as a column ``prediction``, the prediction of each, into Parquet.

    Args:
        model: a compressed factorization machine, or a checkpoint.
        rows: what to score; streamed.
        path: file to write, through a temporary file that takes its place when it is whole.
        threads: among how many threads the rows are split; None takes all cores that may be used.
        force: whether an existing file is replaced.
        progress: told of each batch.

    Raises:
        UsageError: a column that is carried along has the name of the predictions.
        DataError: the rows cannot be used.
        OutputError: the file cannot be written.
    """
    write_scored(predicted(model, rows, threads=threads), rows, path, force=force, progress=progress)


def write_scored(
    scored: Iterable[tuple[Batch, Float32Array]],
    rows: Rows,
    path: Path,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> None:
    """Write the columns that rows carry along and their predictions into Parquet; see ``write_predictions``.

    Args:
        scored: the rows in their order, in batches, and predictions, float32 (rows of a batch,).
        rows: what was scored.
        path: file to write.
        force: whether an existing file is replaced.
        progress: told of each batch.

    Raises:
        UsageError: a column that is carried along has the name of the predictions.
        OutputError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = [] if rows.kept is None else list(rows.kept)
    names = [field.name for field in kept]
    check_kept(names)
    schema = pa.schema([*kept, pa.field(PREDICTION, pa.float32(), nullable=False)])
    # Hardly two predictions are the same: a dictionary of them would cost more time than it saves room.
    with replacing(path, force=force) as file, pq.ParquetWriter(file, schema, use_dictionary=names) as writer:
        progress.start("scoring", rows.rows)
        group: list[pa.RecordBatch] = []
        for batch, predictions in scored:
            columns = [] if batch.kept is None else batch.kept.columns
            group.append(pa.RecordBatch.from_arrays([*columns, pa.array(predictions)], schema=schema))
            if sum(map(len, group)) >= _GROUP_ROWS:
                writer.write_table(pa.Table.from_batches(group))
                group = []
            progress.advance(len(batch))
        if group:
            writer.write_table(pa.Table.from_batches(group))
        progress.finish()


def check_kept(names: Sequence[str]) -> None:
    """Raise UsageError where a column that is carried along has the name of the predictions."""
    if PREDICTION in names:
        raise UsageError(f"the column {PREDICTION!r} cannot be kept: the predictions are called so")
