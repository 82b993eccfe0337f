"""Steps of a tool's network, linear layers, batch norms and activations, folded into dense layers in fp64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.checkpoints.files.tensor import FileTensor, as_float32
from fmcompress.checkpoints.reading_errors import listed
from fmcompress.errors import CheckpointError
from fmcompress.fm.network import DenseLayer
from fmcompress.types import Float64Array

RELU = "relu"
"""The activation of the hidden layers, where neither the file nor the caller says another."""

EPSILON = 1e-5
"""What torch adds to the variances of a batch norm, unless a model says otherwise."""

_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_COUNT = "num_batches_tracked"
NORM_KEYS = {*_NORM_PARTS, _COUNT}
"""Names that the tensors of a batch norm may have."""


@dataclass(frozen=True)
class Linear:
    """A linear layer: the prefix of its keys, with a dot at its end, and whether it has biases."""

    key: str
    biased: bool = True


@dataclass(frozen=True)
class BatchNorm:
    """A batch norm: the prefix of its keys, and what is added to its variances."""

    key: str
    epsilon: float = EPSILON


@dataclass(frozen=True)
class PReLU:
    """A leaky ReLU with slopes that are weights: the prefix of their key."""

    key: str


@dataclass(frozen=True)
class Activation:
    """An activation, by its name in ``ACTIVATIONS``."""

    name: str


@dataclass(frozen=True)
class LeakyReLU:
    """A leaky ReLU with a slope of its own."""

    slope: float


Step = Linear | BatchNorm | PReLU | LeakyReLU | Activation


def keys_of(steps: Sequence[Step]) -> tuple[list[str], list[str]]:
    """Return the keys of all steps: those that must be there, and those that may be."""
    needed: list[str] = []
    optional: list[str] = []
    for step in steps:
        if isinstance(step, BatchNorm):
            needed += [f"{step.key}{part}" for part in _NORM_PARTS]
            optional.append(f"{step.key}{_COUNT}")
        elif isinstance(step, Linear | PReLU):
            needed.append(f"{step.key}weight")
        if isinstance(step, Linear) and step.biased:
            needed.append(f"{step.key}bias")
    return needed, optional


class Stack:
    """Dense layers that grow step by step, in fp64.

    Attributes:
        width: how many numbers come out of what there is.
    """

    def __init__(self, weights: Mapping[str, FileTensor], width: int, source: str) -> None:
        """Take the file's tensors, the number of inputs, and what these are."""
        self.width = width
        self._weights = weights
        self._source = source
        self._layers: list[DenseLayer] = []
        self._open: tuple[Float64Array, Float64Array] | None = None
        self._scale, self._shift = _nothing(width)
        self._slopes: Float64Array | None = None
        self._last = ""

    def add(self, step: Step) -> None:
        """Put a step on top.

        Raises:
            CheckpointError: its shapes do not fit, or a number of it is NaN or infinite.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # what becomes infinite is refused when its layer is closed
            match step:
                case Linear(key, biased):
                    self._linear(key, biased=biased)
                case BatchNorm(key, epsilon):
                    self._batch_norm(key, epsilon)
                case PReLU(key):
                    self._leaky(self._slopes_of(f"{key}weight"))
                case LeakyReLU(slope):
                    self._leaky(np.full(self.width, slope))
                case Activation(name):
                    if self._open is None and name != "identity":
                        raise CheckpointError(f"its activation {name!r} has no linear layer before it")
                    self._close(name)

    def finished(self) -> list[DenseLayer]:
        """Return all layers.

        Raises:
            CheckpointError: the last one returns several numbers.
        """
        self._close("identity")
        if not self._layers or self.width != 1:
            last = f", the last of which is {listed([self._last])}" if self._last else ""
            raise CheckpointError(f"its dense layers{last}, return {self.width:,} numbers, expected one")
        return self._layers

    def _linear(self, key: str, *, biased: bool) -> None:
        shape = self._weights[f"{key}weight"].shape
        if len(shape) != 2 or shape[1] != self.width:
            source = f": {self._source}" if not self._layers and self._open is None else ""
            raise CheckpointError(f"{listed([f'{key}weight'])} has shape {shape}, expected (out, {self.width}){source}")
        weight = self._read(f"{key}weight", shape)
        bias = self._read(f"{key}bias", shape[:1]) if biased else np.zeros(shape[0])
        self._close("identity")
        self._last = f"{key}weight"
        bias = bias + weight @ self._shift
        weight = weight * self._scale
        if self._slopes is not None:
            weight = np.concatenate([weight, -weight * self._slopes], axis=1)
        self._open, self._slopes, self.width = (weight, bias), None, shape[0]
        self._scale, self._shift = _nothing(self.width)

    def _batch_norm(self, key: str, epsilon: float) -> None:
        weights, biases, means, variances = (self._read(f"{key}{part}", (self.width,)) for part in _NORM_PARTS)
        variances = variances + epsilon
        if (variances <= 0).any():
            raise CheckpointError(f"{listed([f'{key}{_NORM_PARTS[-1]}'])} holds negative variances")
        scale = weights / np.sqrt(variances)
        shift = biases - means * scale
        if self._open is not None:
            weight, bias = self._open
            self._open = weight * scale[:, None], bias * scale + shift
        else:
            self._scale, self._shift = self._scale * scale, self._shift * scale + shift

    def _slopes_of(self, key: str) -> Float64Array:
        shape = self._weights[key].shape
        if shape not in ((1,), (self.width,)):
            raise CheckpointError(f"{listed([key])} has shape {shape}, expected (1,) or ({self.width},)")
        return np.broadcast_to(self._read(key, shape), (self.width,))

    def _leaky(self, slopes: Float64Array) -> None:
        if self._open is None:
            raise CheckpointError("one of its leaky ReLUs has no linear layer before it")
        weight, bias = self._open
        self._open = np.concatenate([weight, -weight]), np.concatenate([bias, -bias])
        self._close(RELU)
        self._slopes = slopes

    def _close(self, activation: str) -> None:
        """Put the layer that is open on top of the others."""
        if self._open is not None:
            weight, bias = self._open
            self._layers.append(DenseLayer(as_float32(weight), as_float32(bias), activation))
            self._open = None

    def _read(self, key: str, shape: tuple[int, ...]) -> Float64Array:
        tensor = self._weights[key]
        if tensor.shape != shape or not tensor.is_float:
            raise CheckpointError(f"{listed([key])} has shape {tensor.shape}, expected {shape} of floats")
        values = tensor.read().astype(np.float64)
        if not np.isfinite(values).all():
            raise CheckpointError(f"{listed([key])} holds NaN or infinite numbers")
        return values


def _nothing(width: int) -> tuple[Float64Array, Float64Array]:
    """Return the factors and the terms that change nothing."""
    return np.ones(width), np.zeros(width)
