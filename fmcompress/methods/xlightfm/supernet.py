"""A factorization machine in search of its codebooks: all candidates at once."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from fmcompress.finetune.inputs import Inputs
from fmcompress.finetune.layers import Fields, Linear, RawRows, logits_of
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.methods.xlightfm.candidate_codebooks import CandidateCodebooks
from fmcompress.types import Int64Array


class Supernet(nn.Module):
    """The logit of a factorization machine whose codebooks are searched (Eq. 10)."""

    def __init__(self, model: QuantizedFM, codebooks: CandidateCodebooks, *, columns: list[int], sparse: bool) -> None:
        """Take over the numbers of ``model``.

        Args:
            model: the quantized factorization machine, with any candidate.
            codebooks: the searched fields.
            columns: of the searched fields.
            sparse: whether raw rows and linear weights get sparse gradients.
        """
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = Linear(model, sparse=sparse)
        raw = [column for column in range(len(model.fields)) if column not in columns]
        self.raw = RawRows(model, raw, sparse=sparse) if raw else None
        self.codebooks = codebooks

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the logits of rows, float32 (rows,)."""
        ids = inputs.ids
        layers = [self.codebooks(ids), *([] if self.raw is None else [self.raw(ids)])]
        return logits_of(self.bias, self.linear(ids), layers, inputs)

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [self.linear.table, *([] if self.raw is None else [self.raw.table])]

    def others(self) -> list[nn.Parameter]:
        """Return the bias and all codebooks."""
        return [self.bias, *(assignment.table for assignment in self.codebooks.assignments)]

    def store(self, model: QuantizedFM, selected: Int64Array) -> QuantizedFM:
        """Return ``model``, quantized as one architecture has it, with the numbers as they are now."""
        fields = self.linear.store(model.fields)
        raw: Fields = {} if self.raw is None else self.raw.store(fields)
        for column, field in (raw | self.codebooks.store(fields, selected)).items():
            fields[column] = field
        return replace(model, bias=self.bias.item(), fields=tuple(fields))
