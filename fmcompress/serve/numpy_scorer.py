"""Predictions from packed codes, without ever decoding the table of embeddings.

With q_i the decoded embedding of category i, the logit of a row is

    w_0 + Σ_i (w_i − ½‖q_i‖²) + ½‖Σ_i q_i‖²

and both sums run over codewords as well as over embeddings: ½‖q_i‖² is the sum of the halves of its
codewords' squared norms. So −½‖codeword‖² stands beside each codeword, and both are summed over all fields that have
the same number of subspaces. Numeric fields add to both sums, see ``NumericWeights``, and so do those with several
values in a row, see ``PooledFields``. With a network on top each field is looked up by itself, see ``NetworkFields``.
This is the way of numpy alone,
for where there is no native core.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fmcompress.artifact.layout import field_layouts
from fmcompress.artifact.packed import PackedFM
from fmcompress.errors import UsageError
from fmcompress.fm.bags import Bag
from fmcompress.fm.schema import MISSING
from fmcompress.serve.bag_rows import bag_rows, check_bag, present
from fmcompress.serve.bit_streams import TierRanks, as_words
from fmcompress.serve.field_groups import Sums, groups_of
from fmcompress.serve.numpy_bags import PooledFields
from fmcompress.serve.numpy_networks import NetworkFields
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
        self._pooled = PooledFields(model, words, layouts) if model.schema.poolings else None
        network = model.network
        self._network = None if network is None else NetworkFields(model, network, words, own)
        single = [name not in model.schema.poolings for name in model.schema.id_names]
        self._single = np.flatnonzero(single)
        # A network looks each field up by itself.
        own = [layouts[column] for column in self._single if network is None]
        self._tiers = TierRanks(words, own) if any(field.tier_bytes for field in own) else None
        self._groups = groups_of(model, words, [tier for field in own for tier in field.tiers])

    def predict(
        self,
        ids: npt.ArrayLike,
        values: npt.ArrayLike | None = None,
        *,
        bags: Mapping[str, Any] | None = None,
        threads: int = 1,
    ) -> Float32Array:
        """Return the predictions of rows, see ``Scorer``.

        Args:
            ids: category ids, integers of any dtype (rows, ids).
            values: of the numeric fields, numbers of any dtype (rows, numeric fields).
            bags: values of fields with several in a row, by name, as ``bag_rows`` takes them; their ids are -1.
            threads: at least 1, which is what there is, whatever is asked for.

        Raises:
            DataError: a shape is another, an id is out of range, a value is infinite or too large, bags make no sense.
            UsageError: there are fewer threads than one.
        """
        rows = id_rows(ids, self._schema)
        numbers = value_rows(values, self._schema, len(rows))
        given = bag_rows(bags, self._schema, len(rows))
        if threads < 1:
            raise UsageError(f"threads are {threads}, expected 1 or more")
        logits = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK_ROWS):
            chunk = slice(start, start + _CHUNK_ROWS)
            own = {name: bag.take(chunk) for name, bag in given.items()}
            logits[chunk] = self._logits(signed(rows[chunk]), None if numbers is None else numbers[chunk], own, start)
        return self._link.predict(logits)

    def _logits(
        self, ids: Int64Array, values: AnyArray | None, bags: Mapping[str, Bag], first_row: int
    ) -> Float32Array:
        missing = self._missing(ids, first_row)
        whole = self._whole_bags(ids, missing, bags, first_row)
        if self._network is not None:
            numbers = None if values is None else self._present(values, first_row)
            return self._network.logits(ids, missing, whole, numbers)
        if whole:
            ids, missing = ids[:, self._single], None if missing is None else missing[:, self._single]
        if missing is not None:
            ids = np.where(missing, 0, ids)
        if self._tiers is not None:
            ids, missing = self._tiers.split(ids, missing)
        sums = Sums(np.zeros((len(ids), self._dim), np.float32), np.full(len(ids), self._bias, np.float32))
        for group in self._groups:
            group.add(ids, missing, sums)
        squares: Float32Array = np.einsum("rl,rl->r", sums.vectors, sums.vectors)
        logits = sums.scalars + np.float32(0.5) * squares
        if self._pooled is not None:
            logits, sums.vectors = self._with_bags(self._pooled, whole, logits, sums.vectors)
        if values is not None:
            logits += self._numeric.added(self._present(values, first_row), sums.vectors)
        return logits

    def _whole_bags(
        self, ids: Int64Array, missing: BoolArray | None, bags: Mapping[str, Bag], first_row: int
    ) -> dict[str, Bag]:
        """Return a bag of all values that are there for each field that may have several of them."""
        found = {}
        for name, column in ({} if self._pooled is None else self._pooled.columns).items():
            own = ids[:, column]
            if name in bags:
                check_bag(name, bags[name], own, self._schema, first_row)
                found[name] = present(bags[name], int(self._schema.pads[column]))
            else:
                known = own if missing is None else np.where(missing[:, column], MISSING, own)
                found[name] = Bag.of_single(known.astype(np.int32))
        return found

    @staticmethod
    def _with_bags(
        pooled: PooledFields, bags: Mapping[str, Bag], logits: Float32Array, sums: Float32Array
    ) -> tuple[Float32Array, Float32Array]:
        """Return logits and sums with what bags add to them."""
        exact, vectors = logits.astype(np.float64), sums.astype(np.float64)
        for name, bag in bags.items():
            pooled.add(name, bag, vectors, exact)
        with np.errstate(over="ignore"):
            return exact.astype(np.float32), vectors.astype(np.float32)

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
