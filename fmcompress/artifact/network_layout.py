"""How dense layers are stored: each with its biases in fp32, then its weights in fp16, int8 or fp32, row by row.

In int8 each row of weights has a scale in fp16, and these stand before the weights. The metadata tell the kind of the
network, and of each layer how many numbers it returns, its activation, and the bits of a weight:

    ["deepfm",[64,"relu",8],[32,"relu",8],[1,"identity",16]]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fmcompress.artifact.numbers import LARGEST_HALF, LARGEST_INT8, as_stored, decode_int8, encode_half, encode_int8
from fmcompress.artifact.origin import listed, text, whole
from fmcompress.errors import CheckpointError
from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.network import KINDS, DenseLayer, Network, input_size
from fmcompress.fm.quantizer import FLOAT, HALF, INT8
from fmcompress.fm.schema import Schema
from fmcompress.types import AnyArray, Float32Array, UInt8Array

_BITS = {8 * size: size for size in (INT8, HALF, FLOAT)}
_NAMES = {INT8: "int8", HALF: "fp16", FLOAT: "fp32"}
_MOST_LAYERS = 64
_MOST_OUTPUTS = 2**20


@dataclass(frozen=True)
class StoredLayer:
    """How one dense layer is stored.

    Attributes:
        outputs: numbers that it returns.
        activation: what becomes of them.
        value_bytes: bytes of a weight: ``HALF``, ``INT8`` or ``FLOAT``.
    """

    outputs: int
    activation: str
    value_bytes: int

    def nbytes(self, inputs: int) -> int:
        """Return its bytes, where it takes so many numbers."""
        scales = HALF if self.value_bytes == INT8 else 0
        return self.outputs * (FLOAT + scales + self.value_bytes * inputs)


@dataclass(frozen=True)
class StoredNetwork:
    """How a network is stored.

    Attributes:
        kind: a name of ``KINDS``.
        layers: from the input to the logit.
    """

    kind: str
    layers: tuple[StoredLayer, ...]

    @classmethod
    def of(cls, network: Network, value_bytes: tuple[int, ...]) -> StoredNetwork:
        """Return how a network is stored whose layers have weights of so many bytes."""
        return cls(
            network.kind,
            tuple(
                StoredLayer(len(layer.bias), layer.activation, size)
                for layer, size in zip(network.layers, value_bytes, strict=True)
            ),
        )

    @classmethod
    def in_int8(cls, network: Network) -> StoredNetwork:
        """Return a network stored in int8; in fp32 the layers that int8 cannot hold."""
        largest = [float(np.abs(layer.weight).max()) for layer in network.layers]
        return cls.of(network, tuple(INT8 if one <= LARGEST_INT8 * LARGEST_HALF else FLOAT for one in largest))

    def with_value_bytes(self, value_bytes: tuple[int, ...]) -> StoredNetwork:
        """Return the same network with weights of so many bytes in each layer."""
        layers = zip(self.layers, value_bytes, strict=True)
        return StoredNetwork(self.kind, tuple(replace(layer, value_bytes=size) for layer, size in layers))

    @property
    def value_bytes(self) -> tuple[int, ...]:
        """Bytes of a weight of each layer."""
        return tuple(layer.value_bytes for layer in self.layers)

    def with_inputs(self, schema: Schema, dim: int) -> Iterator[tuple[StoredLayer, int]]:
        """Yield the layers, and how many numbers each takes.

        Args:
            schema: the fields.
            dim: embedding size l.
        """
        inputs = input_size(self.kind, schema, dim)
        for layer in self.layers:
            yield layer, inputs
            inputs = layer.outputs

    def nbytes(self, schema: Schema, dim: int) -> int:
        """Return the bytes of all layers; see ``with_inputs``."""
        return sum(layer.nbytes(inputs) for layer, inputs in self.with_inputs(schema, dim))

    def weights(self, schema: Schema, dim: int) -> int:
        """Return how many numbers all layers have; see ``with_inputs``."""
        return sum(layer.outputs * (inputs + 1) for layer, inputs in self.with_inputs(schema, dim))

    def described(self, schema: Schema, dim: int) -> str:
        """Return it in words, ``DeepFM 320-64-32-1, relu, int8``; see ``with_inputs``."""
        sizes = [inputs for _, inputs in self.with_inputs(schema, dim)] + [1]
        activations = list(dict.fromkeys(layer.activation for layer in self.layers[:-1]))
        stored = dict.fromkeys(_NAMES[layer.value_bytes] for layer in self.layers)
        words = [f"{KINDS[self.kind].title} {'-'.join(map(str, sizes))}", *activations, " and ".join(stored)]
        return ", ".join(words)

    def entry(self) -> list[Any]:
        """Return what the metadata tell of it."""
        return [self.kind, *([layer.outputs, layer.activation, 8 * layer.value_bytes] for layer in self.layers)]

    @classmethod
    def parse(cls, entry: Any, schema: Schema) -> StoredNetwork:
        """Return what an entry of the metadata tells: the inverse of ``entry``.

        Raises:
            ValueError, TypeError, KeyError: it makes no sense.
        """
        kind, *layers = listed(entry)
        found = []
        for outputs, activation, bits in map(listed, layers):
            if text(activation) not in ACTIVATIONS or not 1 <= whole(outputs) <= _MOST_OUTPUTS:
                raise ValueError("dense layer")
            found.append(StoredLayer(outputs, activation, _BITS[whole(bits)]))
        usual = kind in KINDS and 1 <= len(found) <= _MOST_LAYERS and found[-1].outputs == 1
        if not usual or any(pooling.each for pooling in schema.poolings.values()):
            raise ValueError("network")
        return cls(kind, tuple(found))


def encode_network(network: Network, value_bytes: tuple[int, ...]) -> UInt8Array:
    """Return the bytes of the layers, uint8 (bytes,).

    Args:
        network: the layers.
        value_bytes: bytes of a weight of each layer.
    """
    pieces: list[AnyArray] = []
    for layer, size in zip(network.layers, value_bytes, strict=True):
        pieces.append(layer.bias.astype("<f4"))
        if size == INT8:
            rows = [encode_int8(row) for row in layer.weight]
            pieces += [np.array([scale for _, scale in rows], dtype="<f2"), np.stack([numbers for numbers, _ in rows])]
        else:
            pieces.append(layer.weight.astype("<f4") if size == FLOAT else encode_half(layer.weight).astype("<f2"))
    return np.concatenate([np.ascontiguousarray(piece).reshape(-1).view(np.uint8) for piece in pieces])


def decode_network(data: UInt8Array, stored: StoredNetwork, schema: Schema, dim: int) -> Network:
    """Return the network of its bytes: the inverse of ``encode_network``, after its rounding.

    Args:
        data: uint8 (bytes,).
        stored: how it is stored.
        schema: the fields.
        dim: embedding size l.

    Raises:
        CheckpointError: a number is NaN or infinite.
    """
    layers, start = [], 0

    def taken(count: int, dtype: str) -> AnyArray:
        nonlocal start
        end = start + count * np.dtype(dtype).itemsize
        numbers = np.frombuffer(data[start:end].tobytes(), dtype)
        start = end
        return numbers

    for layer, inputs in stored.with_inputs(schema, dim):
        bias = taken(layer.outputs, "<f4").astype(np.float32)
        shape, count = (layer.outputs, inputs), layer.outputs * inputs
        if layer.value_bytes == INT8:
            scales = taken(layer.outputs, "<f2")
            if np.signbit(scales).any():
                raise CheckpointError("a dense layer has a negative scale")
            if not np.isfinite(scales).all():
                raise CheckpointError("a dense layer holds NaN or infinite numbers")
            weight = _scaled(taken(count, "i1").reshape(shape), scales)
        else:
            weight = taken(count, "<f4" if layer.value_bytes == FLOAT else "<f2").reshape(shape).astype(np.float32)
        layers.append(DenseLayer(weight, bias, layer.activation))
    return Network(stored.kind, tuple(layers))


def _scaled(numbers: AnyArray, scales: AnyArray) -> Float32Array:
    if (numbers < -LARGEST_INT8).any():
        raise CheckpointError(f"a dense layer has a number in int8 below -{LARGEST_INT8}")
    return np.stack([decode_int8(row, scale) for row, scale in zip(numbers, scales, strict=True)])


def layer_as_stored(layer: DenseLayer, value_bytes: int) -> DenseLayer:
    """Return a layer as it is read back where its weights have so many bytes."""
    weight = np.stack([as_stored(row, value_bytes) for row in layer.weight])
    return DenseLayer(weight, layer.bias, layer.activation)
