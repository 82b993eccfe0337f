"""A file that may be a checkpoint: what the dialects look at."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Protocol

from fmcompress.checkpoints.files.folders import open_folder
from fmcompress.checkpoints.files.npz_file import NpzFile, is_npz
from fmcompress.checkpoints.files.pickle_file import ObjectFile, PickleFile
from fmcompress.checkpoints.files.prefixes import View, behind_key
from fmcompress.checkpoints.files.safetensors_file import SafetensorsFile, is_safetensors
from fmcompress.checkpoints.files.sharded_file import is_index, open_index, shards_of
from fmcompress.checkpoints.files.state_dict import Part, flattened, keys_of, part_at, parts_of
from fmcompress.checkpoints.files.stored_zip import StoredZip
from fmcompress.checkpoints.files.tensor import Weights
from fmcompress.checkpoints.files.torch_file import MAGIC, TorchFile
from fmcompress.checkpoints.pickle.stubs import Stub
from fmcompress.checkpoints.reading_errors import listed
from fmcompress.errors import CheckpointError

_HEAD_BYTES = 64


class TensorFile(Protocol):
    """An open file that holds tensors."""

    @property
    def root(self) -> object:
        """The object that it holds: tensors in dicts, lists, modules and other objects."""

    @property
    def texts(self) -> Mapping[str, str]:
        """The strings beside its tensors."""

    @property
    def most_numbers(self) -> int:
        """How many numbers its tensors can have together, unless they are the same ones again and again."""

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""


class CheckpointFile:
    """A file or a directory that may be a checkpoint.

    Each way of looking at it is computed on first use and kept, so that dialects can ask in any order.

    Attributes:
        path: where it is.
        view: the weights in it that are looked at; None where it is no file of tensors.
    """

    def __init__(self, path: Path, *, mapped: bool = False) -> None:
        """Take a path.

        Args:
            path: the file.
            mapped: whether the caller says where the weights are, so that they may be in an object of any class.
        """
        self.path = path
        self.view: View | None = None
        self._mapped = mapped

    @cached_property
    def head(self) -> bytes:
        """Its first bytes, up to 64; none of a directory."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as file:
            return file.read(_HEAD_BYTES)

    @cached_property
    def beside(self) -> tuple[Path, ...]:
        """Other files that it names and consists of; none of a directory, whose files all are its own.

        Raises:
            CheckpointError: it names what is no such file.
        """
        return shards_of(self.path)

    @cached_property
    def tensor_file(self) -> TensorFile | None:
        """It as a file of tensors, if it is one.

        Raises:
            CheckpointError: it is one, but damaged, or it asks to run something.
        """
        if self.path.is_dir():
            return open_folder(self.path)
        if self.head.startswith(MAGIC):
            return _opened_zip(self.path)
        if is_safetensors(self.head, self.path.stat().st_size):
            return SafetensorsFile.open(self.path)
        if is_index(self.path, self.head):
            return open_index(self.path)
        if self.pickle.is_container or (self._mapped and self.pickle.class_name):
            return ObjectFile.of(self.pickle)
        return None

    @cached_property
    def pickle(self) -> PickleFile:
        """The pickle that it may be."""
        return PickleFile(self.path)

    @cached_property
    def parts(self) -> list[Part]:
        """The places in it where weights are.

        Raises:
            CheckpointError: it is damaged, or asks to run something.
        """
        if self.tensor_file is None:
            return []
        found = parts_of(self.tensor_file.root)
        return found or list(filter(None, (self.whole,)))

    @cached_property
    def whole(self) -> Part | None:
        """All tensors in it as one part, by the keys that lead to them."""
        return None if self.tensor_file is None else flattened(self.root)

    def part(self, name: str) -> Part:
        """Return the weights under a key.

        Raises:
            CheckpointError: there are none.
        """
        found = part_at(self.root, name)
        for part in () if found else self.parts:
            inner = name.removeprefix(f"{part.name}.") if part.name else name
            found = behind_key(part, inner) or found
        if found is None:
            known = [part.name for part in self.parts if part.name] or keys_of(self.root)
            has = f"it has {listed(known)}" if known else "it holds no tensors"
            raise CheckpointError(f"it has no weights under the key {listed([name])}: {has}")
        return Part(name, found.tensors, found.numbers, found.arrays, found.model)

    def looking_at(self, view: View) -> CheckpointFile:
        """Return this file as one whose weights are those of a view."""
        found = copy(self)
        found.view = view
        return found

    @property
    def weights(self) -> Weights:
        """Its weights; none where it is no file of tensors."""
        if self.view is None:
            return Weights({})
        inside = self.view.inside
        model = inside.model
        return Weights(inside.tensors, inside.arrays, None if model is None else model.class_name, inside.numbers)

    @property
    def root(self) -> object:
        """The object that it holds; None where it is no file of tensors."""
        return None if self.tensor_file is None else self.tensor_file.root

    @property
    def model(self) -> Stub | None:
        """The whole model that it holds, with all its attributes; None of anything else."""
        return None if self.view is None else self.view.inside.model

    def text(self, key: str) -> str | None:
        """Return a string that stands beside its tensors, or None."""
        return None if self.tensor_file is None else self.tensor_file.texts.get(key)

    def close(self) -> None:
        """Close what was opened."""
        opened = self.__dict__.get("tensor_file")
        if opened is not None:
            opened.close()


def _opened_zip(path: Path) -> TensorFile:
    opened = StoredZip.open(path)
    try:
        return NpzFile.of(opened) if is_npz(opened.names) else TorchFile.of(opened)
    except BaseException:
        opened.close()
        raise
