"""Folders of several files that hold one set of tensors: shards of safetensors, torch.distributed.checkpoint."""

from pathlib import Path

from fmcompress.checkpoints.files.dcp_folder import METADATA, DcpFolder
from fmcompress.checkpoints.files.sharded_file import ShardedFile, index_in, open_index, open_without_index


def open_folder(path: Path) -> DcpFolder | ShardedFile | None:
    """Return what is in a folder, if it is such a one.

    Raises:
        CheckpointError: it is, but damaged.
    """
    if (path / METADATA).is_file():
        return DcpFolder.open(path)
    index = index_in(path)
    return open_without_index(path) if index is None else open_index(index)
