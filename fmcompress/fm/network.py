"""Dense layers on top of a factorization machine: DeepFM and NFM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fmcompress.arguments import checked_arguments
from fmcompress.errors import CheckpointError
from fmcompress.fm.activations import ACTIVATIONS
from fmcompress.fm.schema import Schema
from fmcompress.types import Float32Array


@dataclass(frozen=True)
class NetworkKind:
    """What a network takes in, and what stands beside it in the logit.

    Attributes:
        title: what it is called.
        pairwise: whether ½ (‖S‖² − Σ_i ‖q_i‖²) is a term of the logit.
        concatenated: whether the network takes the embeddings q_i of all fields, one behind the other; else it takes
            the vector ½ (S ∘ S − Σ_i q_i ∘ q_i) of their interactions.
    """

    title: str
    pairwise: bool
    concatenated: bool


KINDS = {
    "deepfm": NetworkKind("DeepFM", pairwise=True, concatenated=True),
    "nfm": NetworkKind("NFM", pairwise=False, concatenated=False),
}
"""Networks by name: DeepFM is Guo et al. (2017), NFM is He and Chua (2017)."""


@checked_arguments
@dataclass(frozen=True, eq=False)
class DenseLayer:
    """y = a(W x + b).

    Attributes:
        weight: W, float32 (out, in).
        bias: b, float32 (out,).
        activation: a, a name of ``ACTIVATIONS``.

    Raises:
        CheckpointError: shapes disagree, a number is NaN or infinite, there is no such activation.
    """

    weight: Float32Array
    bias: Float32Array
    activation: str = "identity"

    def __post_init__(self) -> None:
        if self.weight.ndim != 2 or min(self.weight.shape) < 1 or self.bias.shape != self.weight.shape[:1]:
            raise CheckpointError(
                f"a dense layer has weights of shape {self.weight.shape} and biases of shape {self.bias.shape}, "
                "expected (out, in) and (out,)"
            )
        if self.activation not in ACTIVATIONS:
            raise CheckpointError(
                f"a dense layer has activation {self.activation!r}, expected one of {', '.join(ACTIVATIONS)}"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise CheckpointError("a dense layer holds NaN or infinite numbers")

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return self.weight.size + self.bias.size

    def forward(self, x: Float32Array) -> Float32Array:
        """Return W x + b of each row, float32 (rows, out), before the activation; x is float32 (rows, in)."""
        return np.asarray(x @ self.weight.T + self.bias, dtype=np.float32)


@checked_arguments
@dataclass(frozen=True, eq=False)
class Network:
    """Dense layers, the last of which returns one number, a term of the logit.

        logit(x) = w_0 + Σ_i w_i x_i + [½ (‖S‖² − Σ_i ‖q_i‖²)] + network(input)

    with q_i what field i adds to S: its embedding, times its value where it is numeric, pooled where it has several
    values in a row, zeros where it is missing. The input of ``deepfm`` is q_i of all fields in the order of
    ``Schema.id_names``, then of the numeric fields that have embeddings; that of ``nfm`` is
    ½ (S ∘ S − Σ_i q_i ∘ q_i). Behind these stand, in both, the values of the numeric fields that are linear only.

    Attributes:
        kind: a name of ``KINDS``.
        layers: from the input to the logit.

    Raises:
        CheckpointError: there is no such kind, no layer, the layers do not fit to each other.
    """

    kind: str
    layers: tuple[DenseLayer, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CheckpointError(f"network is {self.kind!r}, expected one of {', '.join(KINDS)}")
        widths = [layer.weight.shape for layer in self.layers]
        if not widths or widths[-1][0] != 1 or any(a[0] != b[1] for a, b in pairwise(widths)):
            raise CheckpointError(
                f"dense layers of shapes {', '.join(map(str, widths)) or 'none'} do not lead from one to the next, "
                "and to one number"
            )

    @property
    def of_kind(self) -> NetworkKind:
        """What it takes in, and what stands beside it."""
        return KINDS[self.kind]

    @property
    def inputs(self) -> int:
        """Numbers that it takes in."""
        return int(self.layers[0].weight.shape[1])

    @property
    def size(self) -> int:
        """How many numbers its layers have."""
        return sum(layer.size for layer in self.layers)

    @property
    def described(self) -> str:
        """It in words: ``DeepFM 320-64-32-1, relu``."""
        sizes = [self.inputs, *(len(layer.bias) for layer in self.layers)]
        activations = dict.fromkeys(layer.activation for layer in self.layers[:-1])
        return ", ".join([f"{self.of_kind.title} {'-'.join(map(str, sizes))}", *activations])

    def check(self, schema: Schema, dim: int) -> None:
        """Check that it takes what fields give.

        Args:
            schema: the fields.
            dim: embedding size l.

        Raises:
            CheckpointError: it takes another number of inputs, or values of a field are terms of their own.
        """
        wanted = input_size(self.kind, schema, dim)
        if self.inputs != wanted:
            raise CheckpointError(
                f"the first dense layer takes {self.inputs:,} numbers, the fields give {wanted:,} to {self.kind}"
            )
        for name, pooling in schema.poolings.items():
            if pooling.each:
                raise CheckpointError(f"field {name!r}: values that are terms of their own do not go with {self.kind}")

    def sums(self, inputs: Float32Array) -> list[Float32Array]:
        """Return W x + b of each layer, float32 (rows, out) each, of inputs, float32 (rows, inputs)."""
        x, found = inputs, []
        for layer in self.layers:
            found.append(layer.forward(x))
            x = ACTIVATIONS[layer.activation].apply(found[-1])
        return found

    def values_of(self, sums: list[Float32Array]) -> Float32Array:
        """Return what it adds to the logits, float32 (rows,), by the sums of its layers, float32 (rows, out) each."""
        return ACTIVATIONS[self.layers[-1].activation].apply(sums[-1])[:, 0]

    def slopes_of(self, sums: list[Float32Array]) -> Float32Array:
        """Return the derivative of ``values_of`` by the inputs, float32 (rows, inputs), of float32 (rows, out) each."""
        back: Float32Array = np.ones((len(sums[-1]), 1), dtype=np.float32)
        for layer, own in zip(reversed(self.layers), reversed(sums), strict=True):
            back = np.asarray((back * ACTIVATIONS[layer.activation].slope(own)) @ layer.weight, dtype=np.float32)
        return back

    def values(self, inputs: Float32Array) -> Float32Array:
        """Return what it adds to the logits, float32 (rows,), of inputs, float32 (rows, inputs)."""
        return self.values_of(self.sums(inputs))

    def rotated(self, axes: Float32Array, vectors: int) -> Network:
        """Return the network that takes q_i along other axes; only where it takes them one behind the other.

        Args:
            axes: orthogonal, float32 (dim, dim): q_i becomes q_i @ axes.
            vectors: how many q_i it takes.
        """
        first, dim = self.layers[0], len(axes)
        blocks = first.weight[:, : vectors * dim].reshape(-1, dim) @ axes
        weight = np.concatenate(
            [blocks.reshape(len(first.weight), -1), first.weight[:, vectors * dim :]], axis=1, dtype=np.float32
        )
        return Network(self.kind, (DenseLayer(weight, first.bias, first.activation), *self.layers[1:]))


def vectors_of(schema: Schema) -> int:
    """Return how many fields have an embedding in a row: those with ids, and numeric ones that are not linear only."""
    return len(schema.id_names) + sum(not field.linear_only for field in schema.numeric)


def input_size(kind: str, schema: Schema, dim: int) -> int:
    """Return how many numbers a network takes in.

    Args:
        kind: a name of ``KINDS``.
        schema: the fields.
        dim: embedding size l.
    """
    vectors = vectors_of(schema) if KINDS[kind].concatenated else 1
    return vectors * dim + sum(field.linear_only for field in schema.numeric)


def same_network(one: Network | None, other: Network | None) -> bool:
    """Return whether two networks are the same, number by number."""
    if one is None or other is None:
        return one is other
    return one.kind == other.kind and _same_layers(one.layers, other.layers)


def _same_layers(one: Sequence[DenseLayer], other: Sequence[DenseLayer]) -> bool:
    return len(one) == len(other) and all(
        a.activation == b.activation and np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
        for a, b in zip(one, other, strict=True)
    )
