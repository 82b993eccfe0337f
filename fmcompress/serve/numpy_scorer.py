"""Predictions from packed codes, without ever decoding the table of embeddings.

With q_i the decoded embedding of category i, the logit of a row is

    w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²

and both sums run over codewords as well as over embeddings: ½‖q_i‖² is the sum of the halves of its
codewords' squared norms. So −½‖codeword‖² stands beside each codeword, and both are summed over all fields that have
the same number of subspaces. Numeric fields add to both sums, see ``NumericWeights``. This is the way of numpy alone,
for where there is no native core.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import field_layouts
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import UsageError
from fmcompress.fm.bags import Bag
from fmcompress.serve.bit_streams import TierRanks, as_words
from fmcompress.serve.field_groups import Sums, groups_of
from fmcompress.serve.row_checks import check_ids, check_values, id_rows, signed, value_rows
from fmcompress.types import AnyArray, BoolArray, Float32Array, Float64Array, Int64Array

_CHUNK_ROWS = 2048


class NumpyScorer:
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

    def predict(
        self,
        ids: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        bags: Mapping[str, Bag] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, see ``Scorer``.

        Args:
            ids: category ids, integers of any dtype (rows, ids).
            values: of the numeric fields, numbers of any dtype (rows, numeric fields).
            bags: values of the fields with several in a row, by name; their ids are -1.
            threads: at least 1, which is what there is, whatever is asked for.

        Raises:
            DataError: a shape is another, an id is out of range, a value is infinite or too large.
            UsageError: there are fewer threads than one.
        """
        rows = id_rows(ids, self._schema)
        numbers = value_rows(values, self._schema, len(rows))
        if bags:
            raise UsageError("fields with several values in a row cannot be scored yet")
        if threads < 1:
            raise UsageError(f"threads are {threads}, expected 1 or more")
        logits = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            logits[chunk] = self._logits(signed(rows[chunk]), None if numbers is None else numbers[chunk], start)
        return self._link.predict(logits)

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
        check_values(values, self._schema, first_row)
        return np.where(np.isnan(values), 0, values).astype(np.float64)

    def _missing(self, ids: Int64Array, first_row: int) -> BoolArray | None:
        """Return where values are missing, None where none is; one comparison finds all that is out of range."""
        out = ids.view(np.uint64) >= self._cardinalities.view(np.uint64)
        padded = None if self._pads is None else ids == self._pads
        if not out.any():
            return padded
        check_ids(ids, out & (ids != -1), self._schema, first_row)
        return out if padded is None else out | padded
