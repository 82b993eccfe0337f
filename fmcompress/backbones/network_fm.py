"""DeepFM and NFM in training: the vanilla factorization machine with dense layers on top."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fmcompress.backbones.vanilla_fm import ActiveRows, VanillaFM
from fmcompress.fm.network import DenseLayer, Network, input_size
from fmcompress.fm.schema import Schema
from fmcompress.training.dense_layers import DenseLayers

_SPREADS = {"deepfm": 0.05, "nfm": 0.1}
"""Of the first embeddings: a network learns nothing from products of numbers that are next to 0."""


class NetworkFM(VanillaFM):
    """A factorization machine with dense layers on top; see ``Network`` for the logit."""

    def __init__(
        self, categories: int, dim: int, network: Network, dropout: float, *, sparse: bool, generator: torch.Generator
    ) -> None:
        """Draw small embeddings, and take over the dense layers.

        Args:
            categories: categories of all fields.
            dim: embedding size l.
            network: the dense layers.
            dropout: share of the numbers between them that a step leaves out.
            sparse: whether gradients of tables are sparse.
            generator: draws the embeddings, and what is left out.
        """
        super().__init__(categories, dim, sparse=sparse, generator=generator, spread=_SPREADS[network.kind])
        self.dense = DenseLayers(network, dropout=dropout, generator=generator)

    def forward(self, active: ActiveRows) -> tuple[Tensor, Tensor]:
        """Return logits, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar."""
        vectors, weights = self._embeddings_of(active.rows), self._linear_of(active.rows)
        scalars = self.bias + weights.sum(dim=(1, 2))
        penalty = (vectors * vectors).sum(dim=(1, 2)).mean() + (weights * weights).sum(dim=(1, 2)).mean()
        if active.values is not None and active.bags is not None:
            bags, own = active.bags, self._embeddings_of(active.values)[:, 0]
            linear = self._linear_of(active.values)[:, 0, 0]
            pooled, sums = bags.pool(own, linear)
            columns = torch.tensor(bags.columns, device=vectors.device)
            vectors, scalars = vectors.index_add(1, columns, pooled), scalars + sums
            norms = (own * own).sum(dim=1)
            penalty = penalty + (bags.embedding.abs() @ norms + bags.linear.abs() @ linear**2) / len(scalars)
        return scalars + self.dense(vectors), penalty


def new_network(kind: str, schema: Schema, dim: int, hidden: Sequence[int], generator: torch.Generator) -> Network:
    """Return dense layers with ReLU between them, drawn as torch draws those of ``nn.Linear``.

    Args:
        kind: ``deepfm`` or ``nfm``.
        schema: the fields.
        dim: embedding size l.
        hidden: numbers that each hidden layer returns.
        generator: draws the weights.
    """
    layers, inputs = [], input_size(kind, schema, dim)
    for outputs in (*hidden, 1):
        bound = 1 / np.sqrt(inputs)
        weight, bias = (
            (torch.rand(shape, generator=generator).numpy() * 2 - 1) * np.float32(bound)
            for shape in ((outputs, inputs), (outputs,))
        )
        layers.append(DenseLayer(weight, bias, "relu"))
        inputs = outputs
    layers[-1] = DenseLayer(layers[-1].weight, layers[-1].bias)
    return Network(kind, tuple(layers))
