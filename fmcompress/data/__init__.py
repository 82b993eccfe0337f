"""Rows of click-through data: streamed from Parquet, shuffled, counted."""

from fmcompress.data.batch import MISSING, Batch
from fmcompress.data.counts import count_categories
from fmcompress.data.parquet import ParquetRows, infer_schema, open_training_rows
from fmcompress.data.shuffle import shuffled

__all__ = [
    "MISSING",
    "Batch",
    "ParquetRows",
    "count_categories",
    "infer_schema",
    "open_training_rows",
    "shuffled",
]
