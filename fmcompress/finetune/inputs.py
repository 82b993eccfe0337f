"""What a model in training is given of a batch: ids of its parts, what numeric fields add, and how bags are pooled."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.devices.moving import moved
from fmcompress.finetune.lookup import Values
from fmcompress.fm.bags import Bag
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.schema import stacked, uses_of
from fmcompress.fm.tiers import Tiers
from fmcompress.training.pooled_values import PooledValues, pooled_values
from fmcompress.types import Float32Array, Int64Array


@dataclass(frozen=True)
class Inputs:
    """A batch for a model in training.

    Attributes:
        ids: category in each part, -1 where it has none, int64 (uses · rows, parts); stacked, see ``fm.schema``.
        uses: how many fields look up the same table, at most.
        numeric: what the numeric fields add to the sum of vectors, float32 (rows, dim), and to the logit beside,
            float32 (rows,); None where there are none.
        values: those in bags; None where no field has several in a row.
        bags: how they are pooled.
        numbers: values of the numeric fields, float32 (rows, numeric fields); None where there are none.
    """

    ids: Tensor
    uses: int = 1
    numeric: tuple[Tensor, Tensor] | None = None
    values: Values | None = None
    bags: PooledValues | None = None
    numbers: Tensor | None = None

    def summed(self, vectors: Tensor, norms: Tensor, linear: Tensor) -> tuple[Tensor, Tensor]:
        """Return S, float32 (rows, dim), and what bias and ½ ‖S‖² are added to in a logit, float32 (rows,).

        Args:
            vectors: Σ q_i of each row of ``ids``, and then q of each value, float32 (uses · rows + values, dim).
            norms: its −½ Σ ‖q_i‖², float32 (uses · rows + values,).
            linear: its Σ w_i, float32 (uses · rows + values,).
        """
        own = len(self.ids)
        total, scalars = self._over_uses(vectors[:own]), self._over_uses((linear + norms)[:own])
        added = [] if self.numeric is None else [self.numeric]
        if self.bags is not None:
            added.append(self.bags.add(vectors[own:], norms[own:], linear[own:]))
        for more_vectors, more_scalars in added:
            total, scalars = total + more_vectors, scalars + more_scalars
        return total, scalars

    def _over_uses(self, values: Tensor) -> Tensor:
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
        added = None if numeric is None else (self._moved(numeric[0]), self._moved(numeric[1]))
        values, pooled = self._values(batch.bags) if batch.bags else (None, None)
        numbers = self._moved(batch.values) if len(self.numeric) else None
        return Inputs(self._moved(ids), uses_of(schema), added, values, pooled, numbers)

    def _values(self, bags: Mapping[str, Bag]) -> tuple[Values, PooledValues]:
        ids, tables, pooled = pooled_values(bags, self.tiers.schema, self.device)
        columns, places = self.tiers.places(tables, ids)
        return Values(self._moved(columns), self._moved(places)), pooled

    def _moved(self, values: Float32Array | Int64Array) -> Tensor:
        return moved(values, self.device)
