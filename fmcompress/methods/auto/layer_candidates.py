"""The ways in which the dense layers of a network can be stored, with their bytes and their rises of the loss.

With Δz the change of a row's logit by weights that are rounded, the loss of an average row rises by ½ E[c Δz²] to
second order, c being its curvature, as for embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.artifact.network_layout import StoredLayer, layer_as_stored
from fmcompress.artifact.numbers import LARGEST_HALF, LARGEST_INT8
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import DenseLayer, Network
from fmcompress.fm.network_scorer import NetworkScorer
from fmcompress.fm.quantizer import FLOAT, HALF, INT8
from fmcompress.types import Float64Array

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch

_ROWS = 16_384
_LIMITS = {INT8: LARGEST_INT8 * LARGEST_HALF, HALF: LARGEST_HALF}


@dataclass(frozen=True)
class LayerCandidate:
    """A way to store a dense layer.

    Attributes:
        value_bytes: bytes of a weight.
        payload_bytes: what the layer takes in the artifact.
        error: expected rise of the loss per row.
    """

    value_bytes: int
    payload_bytes: int
    error: float


def layer_candidates(checkpoint: FMCheckpoint, rows: Batch, negligible: float) -> list[list[LayerCandidate]]:
    """Return the candidates for each dense layer; none where there is no network.

    fp32 is among them where fp16 does not hold a weight, or costs something.

    Args:
        checkpoint: the factorization machine.
        rows: to measure on.
        negligible: a rise of the loss per row that is none.
    """
    network = checkpoint.network
    if network is None:
        return []
    some = rows.take(slice(_ROWS))
    scored = NetworkScorer(checkpoint, network).score(some.ids, some.values, some.bags)
    curvatures = checkpoint.link_function.curvatures(scored.logits.astype(np.float64))
    before = network.values_of(scored.layer_sums).astype(np.float64)

    def rise(number: int, layer: DenseLayer) -> float:
        layers = (*network.layers[:number], layer, *network.layers[number + 1 :])
        shift: Float64Array = Network(network.kind, layers).values(scored.inputs) - before
        return 0.5 * float((curvatures * shift**2).mean())

    found = []
    for number, layer in enumerate(network.layers):
        largest = float(np.abs(layer.weight).max())
        rises = {
            size: rise(number, layer_as_stored(layer, size)) for size, limit in _LIMITS.items() if largest <= limit
        }
        if rises.get(HALF, np.inf) > negligible:
            rises[FLOAT] = 0.0
        found.append([LayerCandidate(size, _bytes_of(layer, size), error) for size, error in rises.items()])
    return found


def _bytes_of(layer: DenseLayer, value_bytes: int) -> int:
    outputs, inputs = layer.weight.shape
    return StoredLayer(outputs, layer.activation, value_bytes).nbytes(inputs)
