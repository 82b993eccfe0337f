"""Numbers of few bits in training: what is scored are the rounded ones, and their gradients pass straight through."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from fmcompress.artifact.numbers import tables_as_stored
from fmcompress.fm.quantized_fm import QuantizedField
from fmcompress.fm.quantizer import Quantizer
from fmcompress.types import Int64Array


class FewBits(nn.Module):
    """Rounds the rows of a table, of several fields, that an artifact stores in fewer than 8 bits a number.

    The step of a field is its largest number over the largest whole one, as in an artifact; the numbers that are
    trained stay as fine as they are.
    """

    def __init__(self, quantizers: Sequence[Quantizer], lengths: Int64Array) -> None:
        """Take note of which rows belong together.

        Args:
            quantizers: of each field.
            lengths: rows of each subspace of each field, in the order of the table, int64 (subspaces, fields); what is
                behind them is left as it is.
        """
        super().__init__()
        largest = [quantizer.largest_integer for quantizer in quantizers]
        few = np.flatnonzero([quantizer.common_scale for quantizer in quantizers])
        fields = np.repeat(np.tile(np.arange(len(quantizers)), len(lengths)), lengths.reshape(-1))
        group = torch.from_numpy(np.where(np.isin(fields, few), fields, -1))
        self.register_buffer("_rows", torch.nonzero(group >= 0)[:, 0], persistent=False)
        self.register_buffer("_group", group[group >= 0], persistent=False)
        self.register_buffer("_largest", torch.tensor(largest, dtype=torch.float32), persistent=False)
        self._rows: Tensor
        self._group: Tensor
        self._largest: Tensor

    def forward(self, table: Tensor) -> Tensor:
        """Return a table as it is stored, float32 (rows, columns); its gradient is that of the numbers themselves."""
        if not len(self._rows):
            return table
        with torch.no_grad():
            own = table[self._rows]
            reach = torch.zeros_like(self._largest)
            reach.scatter_reduce_(0, self._group, own.abs().amax(dim=1), "amax")
            steps = (reach / self._largest).clamp(min=torch.finfo(torch.float32).tiny)[self._group][:, None]
            shift = torch.zeros_like(table)
            shift[self._rows] = torch.round(own / steps) * steps - own
        return table + shift


def as_stored(field: QuantizedField) -> QuantizedField:
    """Return a field with embeddings of few bits as they are read back; others as they are."""
    if not field.quantizer.common_scale:
        return field
    return replace(field, tables=tables_as_stored(field.tables, field.quantizer))
