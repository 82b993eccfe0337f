"""A quantized factorization machine as a torch module: bias, linear weights, raw rows, codebooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import FixedCodes, Linear, RawRows, by_subspaces, logits_of
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.methods.lightfm.layers import MovingCodes

Part = RawRows | FixedCodes | MovingCodes


class QuantizedModule(nn.Module):
    """The logit of a quantized factorization machine, differentiable in all numbers that it stores."""

    def __init__(
        self,
        model: QuantizedFM,
        *,
        sparse: bool,
        coded: Callable[[QuantizedFM, list[int]], FixedCodes | MovingCodes] = FixedCodes,
    ) -> None:
        """Take over the numbers of ``model``.

        Args:
            model: the quantized factorization machine.
            sparse: whether raw rows and linear weights get sparse gradients.
            coded: makes the part of the fields in some columns, coded in the same number of subspaces.
        """
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = Linear(model, sparse=sparse)
        self.groups = nn.ModuleList(
            coded(model, columns) if subspaces else RawRows(model, columns, sparse=sparse)
            for subspaces, columns in by_subspaces(model.fields).items()
        )

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits of rows, float32 (rows,)."""
        ids = inputs.ids
        return logits_of(self.bias, self.linear(ids), [group(ids) for group in self.groups], inputs)

    @property
    def _parts(self) -> list[Part]:
        """The parts of all embeddings."""
        return cast("list[Part]", list(self.groups))

    def moving(self) -> list[MovingCodes]:
        """Return the parts whose codes move."""
        return [part for part in self._parts if isinstance(part, MovingCodes)]

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.table, *(part.table for part in self._parts if isinstance(part, RawRows))]

    def latents(self) -> list[nn.Parameter]:
        """Return the latent parameters of codes that move, whose gradients may be sparse."""
        return [part.latents for part in self.moving()]

    def others(self) -> list[nn.Parameter]:
        """Return all other parameters."""
        named = {id(table) for table in (*self.tables(), *self.latents())}
        return [parameter for parameter in self.parameters() if id(parameter) not in named]

    def store(self, model: QuantizedFM) -> QuantizedFM:
        """Return ``model`` with the numbers as they are now."""
        fields = self.linear.store(model.fields)
        for part in self._parts:
            for column, field in part.store(fields).items():
                fields[column] = field
        return replace(model, bias=self.bias.item(), fields=tuple(fields))

    def recode(self, model: QuantizedFM) -> None:
        """Take over the codes of ``model`` where they are fixed while codebooks are trained."""
        self.linear.recode(model.fields)
        for part in self._parts:
            if isinstance(part, FixedCodes):
                part.recode(model.fields)
