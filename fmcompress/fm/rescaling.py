"""A factorization machine whose logits are a · z + b, with z what they were: it takes no byte more.

    z = w_0 + Σ_i w_i + ½ (‖S‖² − Σ_i ‖v_i‖²)

The pairwise term is quadratic in embeddings: √a times them, a times the linear weights, and a w_0 + b as the bias.
Dense layers take embeddings in through their first layer, whose weights are divided by √a, and return a times as much.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import scaled_table
from fmcompress.fm.network import DenseLayer, Network, vectors_of
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.schema import Schema
from fmcompress.types import Float32Array

_HOMOGENEOUS = ("identity", "relu", "leaky_relu")
"""Activations that return a times as much for a times the input, where a is positive."""


@checked_arguments
@dataclass(frozen=True)
class Calibration:
    """Two numbers that make logits z into a · z + b.

    Attributes:
        scale: a, more than 0.
        offset: b.

    Raises:
        UsageError: a number is out of range.
    """

    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.scale < math.inf and math.isfinite(self.offset)):
            raise UsageError(
                f"logits times {self.scale} and {self.offset} more, expected a positive and a finite number"
            )

    @property
    def identity(self) -> bool:
        """Whether logits stay as they are."""
        return self.scale == 1 and self.offset == 0

    def __str__(self) -> str:
        return f"{self.scale:.4g} · logit {'-' if self.offset < 0 else '+'} {abs(self.offset):.4g}"


def can_be_rescaled(network: Network | None) -> bool:
    """Return whether a model can return a times its logits: what its last dense layer returns must be a term of them.

    Args:
        network: the dense layers on top of it; None where there are none.
    """
    return network is None or network.layers[-1].activation in _HOMOGENEOUS


def rescaled(checkpoint: FMCheckpoint, scale: float, offset: float) -> FMCheckpoint:
    """Return the model whose logits are a · z + b; one on the disk is not read.

    Args:
        checkpoint: the model with logits z.
        scale: a, more than 0.
        offset: b.

    Raises:
        UsageError: a number is out of range, or the last dense layer has a bounded activation.
        CheckpointError: a weight is not finite any more.
    """
    if Calibration(scale, offset).identity:
        return checkpoint
    root = _root_of(scale, checkpoint.network)
    return replace(
        checkpoint,
        bias=scale * checkpoint.bias + offset,
        linear=checkpoint.linear * np.float32(scale),
        embeddings=scaled_table(checkpoint.embeddings, root),
        numeric=_rescaled_numeric(checkpoint.numeric, scale, root),
        network=_rescaled_network(checkpoint.network, checkpoint.schema, checkpoint.dim, scale, root),
    )


def rescaled_quantized(model: QuantizedFM, scale: float, offset: float) -> QuantizedFM:
    """Return the quantized model whose logits are a · z + b, before its numbers are rounded again.

    Args:
        model: the model with logits z.
        scale: a, more than 0.
        offset: b.

    Raises:
        UsageError: a number is out of range, or the last dense layer has a bounded activation.
    """
    if Calibration(scale, offset).identity:
        return model
    root = _root_of(scale, model.network)
    return replace(
        model,
        bias=scale * model.bias + offset,
        fields=tuple(_rescaled_field(field, scale, root) for field in model.fields),
        numeric=_rescaled_numeric(model.numeric, scale, root),
        network=_rescaled_network(model.network, model.schema, model.dim, scale, root),
    )


def _root_of(scale: float, network: Network | None) -> float:
    """Return what embeddings are multiplied by: 1 where they are seen by dense layers alone."""
    if network is None:
        return math.sqrt(scale)
    if not can_be_rescaled(network):
        raise UsageError(
            f"the last dense layer has activation {network.layers[-1].activation!r}: no weights give a times its output"
        )
    return math.sqrt(scale) if network.of_kind.pairwise else 1.0


def _rescaled_field(field: QuantizedField, scale: float, root: float) -> QuantizedField:
    tables = tuple(table * np.float32(root) for table in field.tables)
    return replace(field, tables=tables, linear_table=field.linear_table * np.float32(scale))


def _rescaled_numeric(weights: NumericWeights, scale: float, root: float) -> NumericWeights:
    return NumericWeights(weights.linear * np.float32(scale), weights.embeddings * np.float32(root))


def _rescaled_network(network: Network | None, schema: Schema, dim: int, scale: float, root: float) -> Network | None:
    if network is None:
        return None
    layers = list(network.layers)
    if root != 1:  # then it takes embeddings one behind the other
        factors = np.ones(network.inputs, np.float32)
        factors[: vectors_of(schema) * dim] = 1 / root
        layers[0] = _times(layers[0], factors)
    last = layers[-1]
    layers[-1] = DenseLayer(last.weight * np.float32(scale), last.bias * np.float32(scale), last.activation)
    return Network(network.kind, tuple(layers))


def _times(layer: DenseLayer, factors: Float32Array) -> DenseLayer:
    return DenseLayer(layer.weight * factors, layer.bias, layer.activation)
