"""Reads trained factorization machines of any known tool, and writes our own checkpoints."""

from fmcompress.checkpoints.checkpoint import FMCheckpoint, Source
from fmcompress.checkpoints.load import load_checkpoint
from fmcompress.checkpoints.native import check_saveable, save_checkpoint

__all__ = ["FMCheckpoint", "Source", "check_saveable", "load_checkpoint", "save_checkpoint"]
