"""Dense layers in training: what a DeepFM and an NFM have beside embeddings and linear weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fmcompress.fm.activations import LEAKY_SLOPE
from fmcompress.fm.network import DenseLayer, Network
from fmcompress.fm.schema import Schema

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": torch.relu,
    "leaky_relu": lambda x: functional.leaky_relu(x, float(LEAKY_SLOPE)),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "elu": functional.elu,
}


class DenseLayers(nn.Module):
    """A network, differentiable in all its numbers and in what it takes in."""

    def __init__(self, network: Network, *, dropout: float = 0.0, generator: torch.Generator | None = None) -> None:
        """Take over the numbers of a network.

        Args:
            network: the layers.
            dropout: share of the numbers between layers that a step in training leaves out.
            generator: draws these, in the main memory.
        """
        super().__init__()
        self._kind = network.of_kind
        self._name = network.kind
        self._activations = [layer.activation for layer in network.layers]
        self._dropout = dropout
        self._generator = generator
        self.weights = nn.ParameterList(nn.Parameter(torch.from_numpy(layer.weight.copy())) for layer in network.layers)
        self.biases = nn.ParameterList(nn.Parameter(torch.from_numpy(layer.bias.copy())) for layer in network.layers)

    def forward(self, vectors: Tensor, values: Tensor | None = None) -> Tensor:
        """Return what stands in the logits beside w_0 and the linear weights, float32 (rows,); see ``Network``.

        Args:
            vectors: q of each field in each row, float32 (rows, vectors, dim).
            values: of the numeric fields that are linear only, float32 (rows, such fields); None where there are none.
        """
        sums = vectors.sum(dim=1)
        interactions = 0.5 * (sums * sums - (vectors * vectors).sum(dim=1))
        x = vectors.flatten(1) if self._kind.concatenated else interactions
        if values is not None:
            x = torch.cat([x, values], dim=1)
        layers = list(zip(self.weights, self.biases, self._activations, strict=True))
        for number, (weight, bias, activation) in enumerate(layers):
            x = _ACTIVATIONS[activation](functional.linear(x, weight, bias))
            if self._dropout and number < len(layers) - 1:
                kept = torch.rand(x.shape, generator=self._generator) >= self._dropout
                x = x * kept.to(x.device) / (1 - self._dropout)
        return x[:, 0] + interactions.sum(dim=1) if self._kind.pairwise else x[:, 0]

    def network(self) -> Network:
        """Return a copy of the layers as they are now."""
        numbers = zip(self.weights, self.biases, self._activations, strict=True)
        layers = [DenseLayer(_numpy_of(weight), _numpy_of(bias), name) for weight, bias, name in numbers]
        return Network(self._name, tuple(layers))

    def take_over(self, network: Network) -> None:
        """Take over the numbers of a network with the same layers."""
        with torch.no_grad():
            for weight, bias, layer in zip(self.weights, self.biases, network.layers, strict=True):
                weight.copy_(torch.from_numpy(layer.weight))
                bias.copy_(torch.from_numpy(layer.bias))


def linear_only_columns(schema: Schema) -> list[int]:
    """Return which of the numeric fields are linear only."""
    return [column for column, field in enumerate(schema.numeric) if field.linear_only]


def embedded_columns(schema: Schema) -> list[int]:
    """Return which of the numeric fields have an embedding."""
    return [column for column, field in enumerate(schema.numeric) if not field.linear_only]


def _numpy_of(parameter: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return parameter.detach().cpu().numpy().copy()
