"""Categories whose weights are out of all proportion: they must not set the measure for all others.

One row of 10⁵ among ordinary ones would have the moments of a field, and so what errors cost in all other fields, to
itself, and the step of int8 too. So such categories are left out where costs are estimated, and offered tiers of their
own; whether these pay, their price decides.
"""

from __future__ import annotations

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import DiskTable, Table, blocks, largest_of_rows
from fmcompress.fm.schema import Schema
from fmcompress.quantization.typical_rows import Typical
from fmcompress.types import BoolArray, Float32Array, Float64Array

_BEYOND_SPREAD = 20.0
"""A category is far out where it alone shifts the logit of typical rows by more spreads than this."""

_RARE = 0.25
"""What is in a larger share of the rows than this is no exception."""

_LEAST_CATEGORIES = 16
_MOST_APART = 100
"""One of so many categories may stand apart, and always one."""

_TIMES_LARGER = 6.0


def far_out(checkpoint: FMCheckpoint, frequencies: Float64Array, typical: Typical) -> BoolArray:
    """Return the rare categories that alone decide predictions, whatever the rest of the row, bool (categories,).

    A category shifts the logit by v·S and w; where the root mean square of the first or the size of the second is
    more than 20 times the spread of typical logits (for probabilities at least 1), it is far out.

    Args:
        checkpoint: the factorization machine.
        frequencies: share of rows of each category, float64 (categories,).
        typical: rows of it.
    """
    limit = _BEYOND_SPREAD * typical.spread
    found = np.zeros(checkpoint.schema.categories, dtype=np.bool_)
    if limit == 0:
        return found
    root = _square_root(typical.moments)
    largest_root = float(np.linalg.norm(root, 2))
    for field in range(len(checkpoint.schema)):
        rows = checkpoint.schema.rows(field)
        vectors = checkpoint.embeddings_of(field)
        own = np.abs(checkpoint.linear[rows]) > limit
        if _longest(vectors) * largest_root > limit:
            for start, block in blocks(vectors):
                own[start : start + len(block)] |= np.linalg.norm(block.astype(np.float64) @ root, axis=1) > limit
        if own.any() and frequencies[rows][own].sum() <= _RARE * frequencies[rows].sum():
            found[rows] = own
    return found


def without(batch: Batch, out: BoolArray, schema: Schema) -> Batch:
    """Return the rows of a batch in which no category is far out; all where that is so of none.

    Args:
        batch: rows.
        out: which categories are far out, bool (categories,).
        schema: the fields.
    """
    if not out.any():
        return batch
    present = batch.ids >= 0
    wrong: BoolArray = np.asarray((out[np.where(present, batch.ids + schema.id_offsets, 0)] & present).any(axis=1))
    for name, bag in batch.bags.items():
        offset = schema.id_offsets[schema.id_names.index(name)]
        wrong[bag.rows[out[bag.ids + offset]]] = True
    return batch.take(~wrong) if wrong.any() else batch


def _square_root(moments: Float64Array) -> Float64Array:
    """Return R with R Rᵀ = M, float64 (dim, dim)."""
    values, vectors = np.linalg.eigh(moments)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)))


def standing_apart(embeddings: Table, linear: Float32Array) -> BoolArray:
    """Return the few categories of a field whose weights are several times those of all others, bool (cardinality,).

    They are at most one in a hundred, or one; each has a coordinate, or a linear weight, more than 6 times as large as
    the largest one of the rest.

    Args:
        embeddings: float32 (cardinality, dim).
        linear: float32 (cardinality,).
    """
    cardinality = len(linear)
    found = np.zeros(cardinality, dtype=np.bool_)
    most = max(1, cardinality // _MOST_APART)
    if cardinality >= _LEAST_CATEGORIES:
        for sizes in (largest_of_rows(embeddings), np.abs(linear)):
            largest_of_rest = np.partition(sizes, cardinality - most - 1)[cardinality - most - 1]
            found |= sizes > _TIMES_LARGER * float(largest_of_rest)
    return found


def _longest(table: Table) -> float:
    """Return a length that no row has more than."""
    if isinstance(table, DiskTable):
        return table.longest
    return max(float(table.max(initial=0)), -float(table.min(initial=0))) * float(np.sqrt(table.shape[1]))
