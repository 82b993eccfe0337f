"""Scoring rows from packed codes."""
