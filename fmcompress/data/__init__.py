"""Rows of data: streamed from Parquet, CSV or libsvm text, shuffled, counted."""
