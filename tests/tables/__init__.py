"""Tests of ``fmcompress.tables``."""
