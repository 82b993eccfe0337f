"""Reads trained factorization machines of any known tool, and writes our own checkpoints."""

from fmcompress.checkpoints.load import load_checkpoint
from fmcompress.checkpoints.tools.native import check_saveable, save_checkpoint
from fmcompress.fm.checkpoint import FMCheckpoint, Source

__all__ = ["FMCheckpoint", "Source", "check_saveable", "load_checkpoint", "save_checkpoint"]
