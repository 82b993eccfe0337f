"""A tensor of a file, known by its shape and read when it is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fmcompress.checkpoints.reading_errors import listed
from fmcompress.errors import CheckpointError
from fmcompress.types import AnyArray, Float32Array


class FileTensor(Protocol):
    """A tensor of a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    def is_float(self) -> bool:
        """Whether its numbers are floats."""

    def read(self) -> AnyArray:
        """Return its values in memory of their own, of the shape and the dtype that the file says.

        Raises:
            CheckpointError: its bytes are damaged.
        """

    def read_rows(self, start: int, stop: int) -> AnyArray:
        """Return rows of it in memory of their own, (stop - start, …) of the same dtype, without reading the others.

        Where that cannot be, as in an array that is compressed, it is read whole once, into a temporary file.

        Args:
            start: the first row.
            stop: the row behind the last one.

        Raises:
            CheckpointError: its bytes are damaged.
            IndexError: there are no such rows.
        """

    def hold(self) -> None:
        """Let rows be read after its file is closed, for as long as the tensor lives."""


@dataclass(frozen=True)
class Weights:
    """What a file holds, under the keys that a ``state_dict`` of the model has.

    Attributes:
        tensors: parameters and buffers by key.
        arrays: plain numpy attributes of the modules of a whole model, of any shape and dtype, by key; they are in no
            state_dict.
        class_name: dotted name of the class of a whole model; None for a state_dict.
        numbers: numbers beside the tensors, which are weights where the caller says so.
    """

    tensors: Mapping[str, FileTensor]
    arrays: Mapping[str, AnyArray] = field(default_factory=dict)
    class_name: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


def read_float32(weights: Mapping[str, FileTensor], key: str) -> Float32Array:
    """Return a tensor of any float type as float32, in its own shape.

    Raises:
        CheckpointError: its type is no float, or its bytes are damaged.
    """
    values = weights[key].read()
    if values.dtype.kind != "f":
        raise CheckpointError(f"{key!r} has type {values.dtype}, expected floating-point weights")
    return as_float32(values)


def read_shape(weights: Mapping[str, FileTensor], key: str, expected: tuple[int, ...]) -> Float32Array:
    """Return a tensor as float32, of the expected shape.

    Raises:
        CheckpointError: it has another shape or type, or its bytes are damaged.
    """
    check_shape(weights, key, expected)
    return read_float32(weights, key)


def check_shape(weights: Mapping[str, FileTensor], key: str, expected: tuple[int, ...]) -> None:
    """Check that a tensor has the expected shape.

    Raises:
        CheckpointError: it has another one.
    """
    if weights[key].shape != expected:
        raise CheckpointError(f"{listed([key])} has shape {weights[key].shape}, expected {expected}")


def read_number(weights: Mapping[str, FileTensor], key: str) -> float:
    """Return the number of a tensor of shape (1,).

    Raises:
        CheckpointError: it has another shape or type, or its bytes are damaged.
    """
    return float(read_shape(weights, key, (1,))[0])


def as_float32(values: AnyArray) -> Float32Array:
    """Return floats of any shape as float32; one that is too large becomes infinite, and is refused as such later."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values, np.float32, order="C")
