"""Activations of dense layers: functions of a number, and their derivatives."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmcompress.types import Float32Array

LEAKY_SLOPE = np.float32(0.01)
"""Of ``leaky_relu`` below 0."""

Function = Callable[[Float32Array], Float32Array]
"""From float32 of any shape to float32 of the same shape."""


@dataclass(frozen=True)
class Activation:
    """What becomes of each number that a dense layer returns.

    Attributes:
        apply: the function.
        slope: its derivative.
    """

    apply: Function
    slope: Function


def _sigmoid(x: Float32Array) -> Float32Array:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * x)), dtype=np.float32)


def _sigmoid_slope(x: Float32Array) -> Float32Array:
    y = _sigmoid(x)
    return y * (1 - y)


def _elu(x: Float32Array) -> Float32Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


ACTIVATIONS = {
    "identity": Activation(lambda x: x, np.ones_like),
    "relu": Activation(lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(np.float32)),
    "leaky_relu": Activation(
        lambda x: np.where(x > 0, x, LEAKY_SLOPE * x), lambda x: np.where(x > 0, np.float32(1), LEAKY_SLOPE)
    ),
    "sigmoid": Activation(_sigmoid, _sigmoid_slope),
    "tanh": Activation(np.tanh, lambda x: 1 - np.square(np.tanh(x))),
    "elu": Activation(_elu, lambda x: np.where(x > 0, np.float32(1), np.exp(np.minimum(x, 0)))),
}
"""Activations by name."""
