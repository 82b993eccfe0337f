"""The network of a quantized DeepFM or NFM in tuning: from what layers of embeddings return to logits."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fmcompress.finetune.inputs import Inputs
from fmcompress.fm.network import Network
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.training.dense_layers import DenseLayers, embedded_columns, linear_only_columns


class NetworkHead(nn.Module):
    """Dense layers on top of fields, each of whose parts has a layer of embeddings of its own."""

    numeric_linear: Tensor
    numeric_embeddings: Tensor

    def __init__(self, model: QuantizedFM, network: Network) -> None:
        """Take over the numbers of the network.

        Args:
            model: the quantized factorization machine.
            network: its dense layers.
        """
        super().__init__()
        schema = model.schema
        self.dense = DenseLayers(network)
        fields = model.tiers.field_of
        self._parts = [[part for part, own in enumerate(fields) if own == table] for table in schema.tables.tolist()]
        tables = schema.tables.tolist()
        self._uses = [tables[:column].count(table) for column, table in enumerate(tables)]
        self._linear_only, self._embedded = linear_only_columns(schema), embedded_columns(schema)
        self.register_buffer("numeric_linear", torch.from_numpy(model.numeric.linear.copy()), persistent=False)
        embeddings = torch.from_numpy(model.numeric.embeddings[self._embedded])
        self.register_buffer("numeric_embeddings", embeddings, persistent=False)

    def forward(self, bias: Tensor, linear: Tensor, layers: Sequence[tuple[Tensor, Tensor]], inputs: Inputs) -> Tensor:
        """Return logits, float32 (rows,).

        Args:
            bias: w_0, a float32 scalar.
            linear: Σ w_i of each row of the inputs' ids, and then w of each value, float32 (uses · rows + values,).
            layers: vectors, float32 (uses · rows + values, dim), and scalars of the layer of each part.
            inputs: how rows are stacked and bags are pooled, and values of the numeric fields.
        """
        stacked = len(inputs.ids)
        rows = stacked // inputs.uses
        vectors = []
        for parts, use in zip(self._parts, self._uses, strict=True):
            own = [layers[part][0][use * rows : (use + 1) * rows] for part in parts]
            vectors.append(own[0] if len(own) == 1 else torch.stack(own).sum(dim=0))
        scalars = bias + linear[:stacked].view(inputs.uses, rows).sum(dim=0)
        if inputs.bags is not None:
            of_values = torch.stack([found[stacked:] for found, _ in layers]).sum(dim=0)
            pooled, weights = inputs.bags.pool(of_values, linear[stacked:])
            scalars = scalars + weights
            for number, column in enumerate(inputs.bags.columns):
                vectors[column] = vectors[column] + pooled[:, number]
        joined, values = torch.stack(vectors, dim=1), None
        if inputs.numbers is not None:
            numeric = inputs.numbers[:, self._embedded, None] * self.numeric_embeddings
            joined = torch.cat([joined, numeric], dim=1)
            scalars = scalars + inputs.numbers @ self.numeric_linear
            values = inputs.numbers[:, self._linear_only]
        terms: Tensor = self.dense(joined, values)
        return scalars + terms
