"""A tensor of a file, known by its shape and read when it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fmcompress.errors import CheckpointError


class Tensor(Protocol):
    """A tensor of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    def read(self) -> npt.NDArray[Any]:
        """Return its values, in memory of their own.

        Raises:
            CheckpointError: its bytes are damaged.
        """


@dataclass(frozen=True)
class Weights:
    """What a file holds, under the keys that a ``state_dict`` of the model has.

    Attributes:
        tensors: parameters and buffers by key.
        arrays: plain numpy attributes of the modules of a whole model, by key; they are in no state_dict.
        class_name: dotted name of the class of a whole model; None for a state_dict.
        others: further keys at the top of the file, for messages.
    """

    tensors: Mapping[str, Tensor]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    class_name: str | None = None
    others: tuple[str, ...] = ()


class TensorFile(Protocol):
    """An open file of tensors, whatever its container."""

    @property
    def weights(self) -> Weights:
        """The tensors."""

    @property
    def texts(self) -> Mapping[str, str]:
        """Strings that stand beside the tensors."""

    def close(self) -> None:
        """Close the file; tensors can no longer be read."""


def read_float32(key: str, tensor: Tensor) -> npt.NDArray[np.float32]:
    """Return a tensor of any float type as float32; a value too large becomes infinite.

    Raises:
        CheckpointError: its type is no float, or its bytes are damaged.
    """
    values = tensor.read()
    if values.dtype.kind != "f":
        raise CheckpointError(f"{key!r} has type {values.dtype}, expected floating-point weights")
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)
