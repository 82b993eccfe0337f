"""Tables in tuning: trained in float32, looked up as they will be stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, pad

from fmcompress.baselines.integers import LEAST_STEP, Integers, as_float16, best_steps
from fmcompress.baselines.lsq import as_stored, fake_quantized
from fmcompress.baselines.stored import IntegerRows, KeptRows
from fmcompress.fm.schema import Schema


class IntegerTable(nn.Module):
    """A table to be stored in integers, with a step of each field and column that is learned along.

    Attributes:
        values: float32 (categories + 1, columns); the last row is 0, for missing values.
        log_steps: logarithms of the steps, float32 (fields, columns): Adam moves them by shares of themselves.
    """

    gradient_scales: Tensor

    def __init__(
        self,
        values: npt.NDArray[np.float32],
        schema: Schema,
        counts: npt.NDArray[np.int64],
        integers: Integers,
        *,
        sparse: bool,
    ) -> None:
        """Start from the steps with the least error.

        Args:
            values: the table to start from, float32 (categories, columns).
            schema: the fields.
            counts: rows in which each category is active, int64 (categories,).
            integers: what it is to be stored in.
            sparse: whether gradients of the table are sparse.
        """
        super().__init__()
        self._schema, self._integers, self._sparse = schema, integers, sparse
        self.values = nn.Parameter(_with_missing(values))
        steps = best_steps(values, schema, counts, integers).astype(np.float32)
        self.log_steps = nn.Parameter(torch.from_numpy(np.log(steps)))
        scales = (schema.cardinalities * integers.highest) ** -0.5
        self.register_buffer("gradient_scales", torch.from_numpy(scales.astype(np.float32))[:, None], persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return the quantized rows, float32 (rows, fields, columns), of row numbers, int64 (rows, fields)."""
        found = embedding(rows, self.values, padding_idx=len(self.values) - 1, sparse=self._sparse)
        steps = as_stored(self.log_steps.exp().clamp_min(LEAST_STEP))
        return fake_quantized(found, steps, self.gradient_scales, self._integers)

    def stored(self) -> IntegerRows:
        """Return the table as a file holds it."""
        values = self.values.detach().cpu().numpy()[:-1]
        steps = as_float16(self.log_steps.detach().exp().cpu().numpy())
        parts = zip(self._schema.split(values), steps.astype(np.float32), strict=True)
        codes = np.concatenate([self._integers.codes(part, step).astype(np.int8) for part, step in parts])
        return IntegerRows(self._schema, codes, steps, self._integers)


class KeptTable(nn.Module):
    """A table of which some rows are kept, and all others are zero.

    Attributes:
        values: the kept rows, then one of 0, float32 (kept rows + 1, columns).
        places: where each row is in ``values``, int64 (categories + 1,); rows that are not kept have the last place.
    """

    places: Tensor

    def __init__(self, values: npt.NDArray[np.float32], kept: npt.NDArray[np.bool_], *, sparse: bool) -> None:
        """Take over the kept rows.

        Args:
            values: the whole table, float32 (categories, columns).
            kept: which rows are kept, bool (categories,).
            sparse: whether gradients are sparse.
        """
        super().__init__()
        self._kept, self._sparse = kept, sparse
        self.values = nn.Parameter(_with_missing(values[kept]))
        places = np.full(len(kept) + 1, kept.sum(), dtype=np.int64)
        places[:-1][kept] = np.arange(kept.sum())
        self.register_buffer("places", torch.from_numpy(places), persistent=False)

    def forward(self, rows: Tensor) -> Tensor:
        """Return rows, float32 (rows, fields, columns), of row numbers, int64 (rows, fields)."""
        return embedding(self.places[rows], self.values, padding_idx=len(self.values) - 1, sparse=self._sparse)

    def stored(self) -> KeptRows:
        """Return the table as a file holds it."""
        return KeptRows(self.values.detach().cpu().numpy()[:-1].astype(np.float16), self._kept)


def _with_missing(values: npt.NDArray[np.float32]) -> Tensor:
    """Return a table with one more row, of zeros."""
    return pad(torch.from_numpy(values), (0, 0, 0, 1))
