"""A file that may be a checkpoint: what the dialects look at."""

from functools import cached_property
from pathlib import Path

from fmcompress.checkpoints.files.pickle_file import PickleFile
from fmcompress.checkpoints.files.safetensors_file import SafetensorsFile, is_safetensors
from fmcompress.checkpoints.files.state_dict import model_of
from fmcompress.checkpoints.files.tensor import Weights
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
    def tensor_file(self) -> TorchFile | SafetensorsFile | None:
        """It as a file of tensors, if it is one.

        Raises:
            CheckpointError: it is one, but damaged, or it asks to run something.
        """
        if self.head.startswith(MAGIC):
            return TorchFile.open(self.path)
        if is_safetensors(self.head, self.path.stat().st_size):
            return SafetensorsFile.open(self.path)
        return None

    @cached_property
    def pickle(self) -> PickleFile:
        """The plain pickle that it may be."""
        return PickleFile(self.path)

    @property
    def weights(self) -> Weights:
        """Its weights; none where it is no file of tensors."""
        return Weights({}) if self.tensor_file is None else self.tensor_file.weights

    @property
    def root(self) -> object:
        """The object that a torch file holds; None of anything else."""
        return self.tensor_file.root if isinstance(self.tensor_file, TorchFile) else None

    @property
    def model(self) -> Stub | None:
        """The whole model that a torch file holds, with all its attributes; None of anything else."""
        return model_of(self.root)

    def text(self, key: str) -> str | None:
        """Return a string that stands beside its tensors, or None."""
        return None if self.tensor_file is None else self.tensor_file.texts.get(key)

    def close(self) -> None:
        """Close what was opened."""
        opened = self.__dict__.get("tensor_file")
        if opened is not None:
            opened.close()
