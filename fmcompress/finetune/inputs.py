"""What a model in training is given of a batch: ids of its parts, and what numeric fields add."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import stacked, uses_of
from fmcompress.fm.tiers import Tiers
from fmcompress.types import Float32Array


@dataclass(frozen=True)
class Inputs:
    """A batch for a model in training.

    Attributes:
        ids: category in each part, -1 where it has none, int64 (uses · rows, parts); stacked, see ``sharing``.
        uses: how many fields look up the same table, at most.
        numeric: what the numeric fields add to the sum of vectors, float32 (rows, dim), and to the logit beside,
            float32 (rows,); None where there are none.
    """

    ids: Tensor
    uses: int = 1
    numeric: tuple[Tensor, Tensor] | None = None

    def summed(self, values: Tensor) -> Tensor:
        """Return the sums over all uses of tables, float32 (rows, …), of values, float32 (uses · rows, …)."""
        return values if self.uses == 1 else values.view(self.uses, -1, *values.shape[1:]).sum(dim=0)


@dataclass(frozen=True)
class InputsOf:
    """Turns batches into inputs.

    Attributes:
        tiers: how the fields are cut into parts.
        numeric: weights of the numeric fields, which are not trained.
        device: where inputs are wanted.
    """

    tiers: Tiers
    numeric: NumericWeights
    device: str

    def __call__(self, batch: Batch) -> Inputs:
        """Return the inputs of a batch."""
        schema = self.tiers.schema
        ids = self.tiers.ids(stacked(batch.ids, schema)).astype(np.int64)
        numeric = self.numeric.contributions(batch.values) if len(self.numeric) else None
        return Inputs(
            torch.from_numpy(ids).to(self.device),
            uses_of(schema),
            None if numeric is None else (self._moved(numeric[0]), self._moved(numeric[1])),
        )

    def _moved(self, values: Float32Array) -> Tensor:
        return torch.from_numpy(values).to(self.device)
