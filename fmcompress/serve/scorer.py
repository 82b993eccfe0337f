"""What scores rows with a packed model: the native core where it is built, else numpy. Here is chosen which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

from fmcompress.artifact.packed import PackedFM
from fmcompress.serve.native_scorer import NativeScorer, NotNativeError
from fmcompress.types import Float32Array


class Scorer(Protocol):
    """Scores rows; any number of threads may use one."""

    def predict(
        self,
        ids: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        bags: Mapping[str, Any] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, float32 (rows,): what the link makes of their logits.

        Args:
            ids: category ids counted from 0, -1 or PAD where one is missing; integers, in the order of
                ``Schema.id_names`` (rows, ids).
            values: of the numeric fields, NaN where one is missing; numbers (rows, numeric fields). None where there
                are no such fields.
            bags: values of fields with several in a row, by name: a list with a list of ids for each row, or an array
                of ids (rows, most values), -1 where there is none; a ``Bag``, or a tuple of its arrays: starts, ids
                and perhaps weights; an Arrow array of lists. Of a field that is here, ids are -1; of others of this
                kind, they are a value each.
            threads: among how many threads the rows are split; numpy has one, whatever is asked for.

        Raises:
            DataError: a shape is another, an id is out of range, a value is infinite or too large.
        """


def open_scorer(model: PackedFM) -> Scorer:
    """Return what scores rows with a packed model; where it is the native core, it uses the model's arrays in place."""
    try:
        return NativeScorer(model)
    except NotNativeError:
        from fmcompress.serve.numpy_scorer import NumpyScorer

        return NumpyScorer(model)
