"""A quantized factorization machine as a torch module: bias, linear weights, raw rows, codebooks, dense layers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from fmcompress.finetune.few_bits import as_stored
from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import EmbeddingLayer, FixedCodes, Linear, RawRows, by_subspaces, logits_of
from fmcompress.finetune.network_head import NetworkHead
from fmcompress.fm.quantized_fm import QuantizedFM


class QuantizedModule(nn.Module):
    """The logit of a quantized factorization machine, differentiable in all numbers that it stores."""

    def __init__(self, model: QuantizedFM, *, sparse: bool, layers: Sequence[EmbeddingLayer] | None = None) -> None:
        """Take over the numbers of ``model``.

        Args:
            model: the quantized factorization machine.
            sparse: whether raw rows and linear weights get sparse gradients.
            layers: of the embeddings of all fields; None takes those whose codes stand still.
        """
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = Linear(model, sparse=sparse)
        self._layers = nn.ModuleList(embedding_layers(model, sparse=sparse) if layers is None else layers)
        self.head = None if model.network is None else NetworkHead(model, model.network)

    @property
    def layers(self) -> list[EmbeddingLayer]:
        """The layers of all embeddings."""
        return cast("list[EmbeddingLayer]", list(self._layers))

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits of rows, float32 (rows,)."""
        ids, values = inputs.ids, inputs.values
        linear, layers = self.linear(ids, values), [layer(ids, values) for layer in self.layers]
        return (logits_of if self.head is None else self.head)(self.bias, linear, layers, inputs)

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.table, *(table for layer in self.layers for table in layer.sparse_tables())]

    def dense(self) -> list[nn.Parameter]:
        """Return the parameters of dense layers."""
        return [] if self.head is None else list(self.head.parameters())

    def others(self) -> list[nn.Parameter]:
        """Return all other parameters but latent ones."""
        latent = [parameter for layer in self.layers for parameter in layer.latent_parameters()]
        apart = set(map(id, [*latent, *self.tables(), *self.dense()]))
        return [parameter for parameter in self.parameters() if id(parameter) not in apart]

    def store(self, model: QuantizedFM) -> QuantizedFM:
        """Return ``model`` with the numbers as they are now, those of few bits as an artifact stores them."""
        fields = self.linear.store(model.fields)
        for layer in self.layers:
            for column, field in layer.store(fields).items():
                fields[column] = field
        network = None if self.head is None else self.head.dense.network()
        return replace(model, bias=self.bias.item(), fields=tuple(map(as_stored, fields)), network=network)

    def recode(self, model: QuantizedFM) -> None:
        """Take over the codes of ``model`` where they are fixed while codebooks are trained."""
        self.linear.recode(model.fields)
        for layer in self.layers:
            layer.recode(model.fields)


def embedding_layers(
    model: QuantizedFM, coded: Callable[[QuantizedFM, list[int]], EmbeddingLayer] = FixedCodes, *, sparse: bool
) -> list[EmbeddingLayer]:
    """Return a layer of the fields with raw embeddings, and one for each number of subspaces.

    Where a network takes the fields one by one, each has a layer of its own, in their order.

    Args:
        model: the quantized factorization machine.
        coded: makes the layer of the fields in some columns, coded in the same number of subspaces.
        sparse: whether raw rows get sparse gradients.
    """
    if model.network is None:
        groups = list(by_subspaces(model.fields).values())
    else:
        groups = [[column] for column in range(len(model.fields))]
    return [
        coded(model, columns)
        if model.fields[columns[0]].quantizer.codewords
        else RawRows(model, columns, sparse=sparse)
        for columns in groups
    ]
