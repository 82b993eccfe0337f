"""A file that may be a checkpoint: what the dialects look at."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from fmcompress.checkpoints.files.pickle_file import PickleFile
from fmcompress.checkpoints.files.safetensors_file import SafetensorsFile, is_safetensors
from fmcompress.checkpoints.files.state_dict import model_of
from fmcompress.checkpoints.files.tensor import TensorFile, Weights
from fmcompress.checkpoints.files.torch_file import MAGIC, TorchFile
from fmcompress.checkpoints.pickle.stubs import Stub

_HEAD_BYTES = 64


class CheckpointFile:
    """A file or a directory that may be a checkpoint.

    Each way of looking at it is computed on first use and kept, so that dialects can ask in any order.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def head(self) -> bytes:
        """Its first bytes, up to 64; none of a directory."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as file:
            return file.read(_HEAD_BYTES)

    @cached_property
    def tensors(self) -> TensorFile | None:
        """Its tensors, if it is a file of tensors.

        Raises:
            CheckpointError: it is one, but damaged, or it asks to run something.
        """
        if self.head.startswith(MAGIC):
            return TorchFile(self.path)
        if is_safetensors(self.head, self.path.stat().st_size):
            return SafetensorsFile(self.path)
        return None

    @cached_property
    def pickle(self) -> PickleFile:
        """The plain pickle that it may be."""
        return PickleFile(self.path)

    @property
    def weights(self) -> Weights:
        """Its weights; none where it is no file of tensors."""
        return Weights({}) if self.tensors is None else self.tensors.weights

    @property
    def root(self) -> object:
        """The object that a torch file holds; None of anything else."""
        return self.tensors.root if isinstance(self.tensors, TorchFile) else None

    @property
    def model(self) -> Stub | None:
        """The whole model that a torch file holds, with all its attributes; None of anything else."""
        return model_of(self.root)

    def text(self, key: str) -> str | None:
        """Return a string that stands beside its tensors, or None."""
        return None if self.tensors is None else self.tensors.texts.get(key)

    def close(self) -> None:
        """Close what was opened."""
        opened = self.__dict__.get("tensors")
        if opened is not None:
            opened.close()
