"""Rows of data: streamed from Parquet or libsvm text, shuffled, counted."""
