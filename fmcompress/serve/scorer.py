"""Predictions from packed codes, without ever decoding the table of embeddings.

With q_i the decoded embedding of category i, the logit of a row is

    w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²

and both sums run over codewords as well as over embeddings: ½‖q_i‖² is the sum of the halves of its
codewords' squared norms. So −½‖codeword‖² stands beside each codeword, and both are summed over all fields that have
the same number of subspaces. Numeric fields add to both sums, see ``NumericWeights``. This is the way of numpy alone,
for where there is no native core.
"""

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import field_layouts
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import DataError
from fmcompress.serve.bit_streams import TierRanks, as_words
from fmcompress.serve.field_groups import Sums, groups_of
from fmcompress.types import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array

_CHUNK_ROWS = 2048
_LARGEST_VALUE = float(np.finfo(np.float32).max)


class Scorer:
    """Scores rows of category ids, and of values of numeric fields, with a compressed factorization machine."""

    def __init__(self, model: PackedFM) -> None:
        """Group the model's fields by the way in which they are stored."""
        self._schema = model.schema
        self._dim = model.header.dim
        self._bias = model.bias
        self._link = model.header.frame.link_function
        self._numeric = model.numeric
        self._cardinalities = model.schema.id_cardinalities
        self._pads = model.schema.pads if (model.schema.pads >= 0).any() else None
        words = as_words(model.codes)
        own = list(field_layouts(model.header))
        layouts = [own[table] for table in model.schema.tables]
        self._tiers = TierRanks(words, layouts) if any(field.tier_bytes for field in layouts) else None
        self._groups = groups_of(model, words, [tier for field in layouts for tier in field.tiers])

    def predict(self, ids: npt.ArrayLike, values: npt.ArrayLike | None = None) -> Float32Array:
        """Return the predictions of rows, float32 (rows,): what the link makes of their logits.

        Args:
            ids: category ids counted from 0, -1 or PAD where one is missing; integers, in the order of
                ``Schema.id_names`` (rows, ids).
            values: of the numeric fields, NaN where one is missing; numbers (rows, numeric fields). None where there
                are no such fields.

        Raises:
            DataError: a shape is another, an id is out of range, a value is infinite or too large.
        """
        rows = _array(ids, "ids")
        if rows.ndim != 2 or rows.shape[1] != len(self._cardinalities) or rows.dtype.kind not in "iu":
            raise DataError(
                f"ids are {rows.dtype} of shape {rows.shape}, "
                f"expected integers of shape (rows, {len(self._cardinalities)})"
            )
        numbers = self._values(values, len(rows))
        logits = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            logits[chunk] = self._logits(_signed(rows[chunk]), None if numbers is None else numbers[chunk], start)
        return self._link.predict(logits)

    def _values(self, values: npt.ArrayLike | None, rows: int) -> AnyArray | None:
        """Return the values, None where there are no numeric fields."""
        names = self._schema.numeric_names
        if values is None:
            if names:
                raise DataError(f"values are missing, expected those of {len(names)} numeric fields: {names[0]!r}, …")
            return None
        numbers = _array(values, "values")
        if numbers.shape != (rows, len(names)) or numbers.dtype.kind not in "iuf":
            raise DataError(
                f"values are {numbers.dtype} of shape {numbers.shape}, "
                f"expected numbers of shape ({rows}, {len(names)}) for the numeric fields"
            )
        return numbers if names else None

    def _logits(self, ids: Int64Array, values: AnyArray | None, first_row: int) -> Float32Array:
        missing = self._missing(ids, first_row)
        if missing is not None:
            ids = np.where(missing, 0, ids)
        if self._tiers is not None:
            ids, missing = self._tiers.split(ids, missing)
        sums = Sums(np.zeros((len(ids), self._dim), np.float32), np.full(len(ids), self._bias, np.float32))
        for group in self._groups:
            group.add(ids, missing, sums)
        squares: Float32Array = np.einsum("rl,rl->r", sums.vectors, sums.vectors)
        logits = sums.scalars + np.float32(0.5) * squares
        if values is not None:
            logits += self._numeric.added(self._present(values, first_row), sums.vectors)
        return logits

    def _present(self, values: AnyArray, first_row: int) -> Float64Array:
        """Return values with 0 for missing ones."""
        present = np.where(np.isnan(values), 0, values).astype(np.float64)
        wrong = np.abs(present) > _LARGEST_VALUE
        if wrong.any():
            row, field = map(int, np.argwhere(wrong)[0])
            raise DataError(
                f"row {first_row + row}, field {self._schema.numeric_names[field]!r}: value is {values[row, field]}, "
                f"expected a number of at most {_LARGEST_VALUE:.4g} in size"
            )
        return present

    def _missing(self, ids: Int64Array, first_row: int) -> BoolArray | None:
        """Return where values are missing, None where none is; one comparison finds all that is out of range."""
        out = ids.view(np.uint64) >= self._cardinalities.view(np.uint64)
        padded = None if self._pads is None else ids == self._pads
        if not out.any():
            return padded
        wrong = out & (ids != -1)
        if wrong.any():
            row, field = map(int, np.argwhere(wrong)[0])
            raise DataError(
                f"row {first_row + row}, field {self._schema.id_names[field]!r}: id {ids[row, field]} is out of range, "
                f"expected 0 to {self._cardinalities[field] - 1}"
            )
        return out if padded is None else out | padded


def _array(given: npt.ArrayLike, name: str) -> AnyArray:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise DataError(f"{name} are no array: their rows differ in length") from error


def _signed(ids: AnyArray) -> Int64Array:
    """Return ids as int64; those too large for it must not come out as negative ones."""
    if ids.dtype == np.uint64:
        ids = np.minimum(ids, np.uint64(2**63 - 1))
    return ids.astype(np.int64)
