"""Reads trained factorization machines of any known tool, and writes our own checkpoints."""

from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.checkpoints.load import load_checkpoint
from fmcompress.checkpoints.native import check_saveable, save_checkpoint
from fmcompress.checkpoints.source import Source

__all__ = ["FMCheckpoint", "Source", "check_saveable", "load_checkpoint", "save_checkpoint"]
