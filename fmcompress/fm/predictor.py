"""What scores rows of category ids, whatever the model."""

from collections.abc import Mapping
from typing import Protocol

from fmcompress.fm.bags import Bag
from fmcompress.types import Float32Array, Int32Array


class Predictor(Protocol):
    """A model that scores rows of category ids and of values of numeric fields."""

    def predict(
        self,
        ids: Int32Array,
        values: Float32Array | None = None,
        *,
        bags: Mapping[str, Bag] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, float32 (rows,).

        Args:
            ids: category ids, -1 where one is missing, int32 (rows, ids).
            values: of the numeric fields, float32 (rows, numeric fields); None where no field is numeric.
            bags: values of the fields that have several in a row, by name; their ids are -1.
            threads: among how many threads the rows are split, at most.
        """
