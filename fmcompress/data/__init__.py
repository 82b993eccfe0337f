"""Rows of data: streamed from Parquet or libsvm text, shuffled, counted."""

from fmcompress.data.batch import MISSING, Batch
from fmcompress.data.counts import count_categories
from fmcompress.data.libsvm import LibsvmRows
from fmcompress.data.parquet import ParquetRows, infer_schema
from fmcompress.data.rows import Rows, open_rows, open_training_rows
from fmcompress.data.shuffle import shuffled

__all__ = [
    "MISSING",
    "Batch",
    "LibsvmRows",
    "ParquetRows",
    "Rows",
    "count_categories",
    "infer_schema",
    "open_rows",
    "open_training_rows",
    "shuffled",
]
