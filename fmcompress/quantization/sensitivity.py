"""What an error in an embedding costs: the factorization machine's own metric, field by field.

With v_i + δ in place of v_i the logit moves by δ·(S − v_i); with a network, in place of S − v_i stands the derivative
of the logit by v_i, see ``fm.scored_rows``. To second order the loss of an average row rises by

    ½ p_i δᵀ H_f δ,   H_f = E[c (S − v_i)(S − v_i)ᵀ | field f]

where p_i is how often category i is active, and for a linear weight by ½ p_i h_f δ², h_f = E[c]. The curvature c of
the loss is p(1−p) for the sigmoid; see ``links.Link.curvatures`` for the others. So one currency, expected loss per
row, prices embeddings and linear weights alike. Where a field has several values in a row, c_j s_q (S − q) is in place
of S − v_i for each of them (see ``ScoredRows``), c_j s_w in place of 1 for its linear weight, and p_i is how often
category i is among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.fm.scorers import device_of
from fmcompress.processes.world import World, this_process
from fmcompress.quantization.moments import HostMoments
from fmcompress.quantization.outliers import far_out, without
from fmcompress.quantization.table_moments import weighted_moments
from fmcompress.quantization.typical_rows import Typical, drawn_batch, typical_of
from fmcompress.types import BoolArray, Float64Array, Int64Array

if TYPE_CHECKING:
    from fmcompress.data.batch import Batch
    from fmcompress.data.rows import Rows
    from fmcompress.quantization.device_moments import DeviceMoments

_SAMPLE_ROWS = 262_144
_BATCH_ROWS = 16_384
_DRAWN_ROWS = 65_536
# Keeps H_f invertible; relative to its mean eigenvalue.
_RIDGE = 1e-3
# Where all predictions are 0 or 1, errors still are to cost something.
_LEAST_CURVATURE = 1e-6

_ALONE = World()

NEGLIGIBLE = 1e-8
"""A rise of the loss per row that is none, in nats; of squared errors in squares of the predictions' spread."""


@dataclass(frozen=True)
class Sensitivity:
    """What errors cost in each field.

    Attributes:
        frequencies: p_i, the share of rows in which category i is active, float64 (categories,); in a table that
            fields share, the sum of theirs.
        hessians: H_f, float64 (fields, dim, dim), positive definite.
        curvatures: h_f, float64 (fields,).
        negligible: a rise of the loss per row that is none, in the loss's unit.
        far_out: categories that were left out, see ``outliers``, bool (categories,).
    """

    frequencies: Float64Array
    hessians: Float64Array
    curvatures: Float64Array
    negligible: float
    far_out: BoolArray


def from_moments(checkpoint: FMCheckpoint, counts: Int64Array | None) -> Sensitivity:
    """Return the sensitivity without data: fields are taken as independent.

    Then E[(S − v)(S − v)ᵀ] is the sum of the other fields' covariances plus the outer product of the sum of
    their means, and the curvature is that of the mean logit. Numeric fields are taken as 0. Categories that are far
    out, see ``outliers``, are left out of the moments: else one of them would set the price of everything. With a
    network moments do not tell, and rows are drawn in which fields are independent.

    Args:
        checkpoint: the factorization machine.
        counts: how often each category was seen, int64 (categories,); None takes all of a field as equally frequent.
    """
    if checkpoint.network is not None:
        drawn = drawn_batch(checkpoint, shares(checkpoint.schema, counts), _DRAWN_ROWS)
        batches = (drawn.take(slice(first, first + _BATCH_ROWS)) for first in range(0, _DRAWN_ROWS, _BATCH_ROWS))
        return from_batches(checkpoint, batches, counts)
    schema, dim = checkpoint.schema, checkpoint.dim
    frequencies = shares(schema, counts)
    typical = typical_of(checkpoint, frequencies)
    out = far_out(checkpoint, frequencies, typical)
    ordinary = _without(out, frequencies, schema)
    means = np.empty((len(schema), dim))
    covariances = np.empty((len(schema), dim, dim))
    linear = checkpoint.bias
    uses = np.bincount(schema.tables)
    for field in range(len(schema)):
        rows = schema.rows(field)
        share = ordinary[rows] if uses[field] == 1 else ordinary[rows] / uses[field]
        means[field], covariances[field] = weighted_moments(checkpoint.embeddings_of(field), share, total=1.0)
        linear += float(ordinary[rows] @ checkpoint.linear[rows])
    total = uses @ means
    logit = linear + 0.5 * (total @ total - uses @ np.einsum("fl,fl->f", means, means))
    curvature = max(checkpoint.link_function.curvatures(np.array([logit]))[0], _LEAST_CURVATURE)
    others = _of_others(means, uses)
    outer = np.einsum("fl,fm->flm", others, others)
    hessians = curvature * (_of_others(covariances, uses) + outer)
    curvatures = np.full(len(schema), curvature)
    return Sensitivity(frequencies, _regular(hessians), curvatures, _negligible(checkpoint, typical), out)


def ordinary_shares(checkpoint: FMCheckpoint, frequencies: Float64Array) -> Float64Array:
    """Return shares of rows with 0 for categories that are far out, float64 (categories,).

    They add up to the same in each table.

    Args:
        checkpoint: the factorization machine.
        frequencies: share of rows of each category, float64 (categories,).
    """
    out = far_out(checkpoint, frequencies, typical_of(checkpoint, frequencies))
    return _without(out, frequencies, checkpoint.schema)


def _without(out: BoolArray, frequencies: Float64Array, schema: Schema) -> Float64Array:
    if not out.any():
        return frequencies
    found = np.where(out, 0, frequencies)
    for field in range(len(schema)):
        rows = schema.rows(field)
        if out[rows].any():
            found[rows] *= frequencies[rows].sum() / found[rows].sum()
    return found


def _of_others(of_tables: Float64Array, uses: Int64Array) -> Float64Array:
    """Return for each table the sum over all other uses of tables, float64 (tables, …).

    It is summed from both ends: less the own one, the sum of all would be but noise where one table is much larger.

    Args:
        of_tables: float64 (tables, …).
        uses: fields that look up each table, int64 (tables,).
    """
    weighted = np.einsum("f,f...->f...", uses.astype(np.float64), of_tables)
    nothing = np.zeros_like(of_tables[:1])
    before = np.concatenate([nothing, np.cumsum(weighted[:-1], axis=0)])
    after = np.concatenate([np.cumsum(weighted[:0:-1], axis=0)[::-1], nothing])
    return np.asarray(before + after + (weighted - of_tables))


def _negligible(checkpoint: FMCheckpoint, typical: Typical) -> float:
    return NEGLIGIBLE * (typical.spread**2 if checkpoint.link_function.regression else 1.0)


def from_rows(checkpoint: FMCheckpoint, rows: Rows, counts: Int64Array, *, seed: int) -> Sensitivity:
    """Return the sensitivity as it is on rows of data, of which some 262,144 are drawn.

    Of several processes each sums a share of these up.

    Rows with a category that is far out, see ``outliers``, are left out.

    Args:
        checkpoint: the factorization machine.
        rows: training data.
        counts: how often each category is in them, int64 (categories,).
        seed: of the draw.
    """
    from fmcompress.data.shuffle import shuffled

    return from_batches(checkpoint, shuffled(rows, _BATCH_ROWS, seed=seed), counts, this_process())


def from_batches(
    checkpoint: FMCheckpoint, batches: Iterable[Batch], counts: Int64Array | None, world: World = _ALONE
) -> Sensitivity:
    """Return the sensitivity as it is on batches of rows, as many as are needed; those of all processes together.

    Args:
        checkpoint: the factorization machine.
        batches: rows of this process.
        counts: how often each category is in all rows, int64 (categories,); None where that is not known.
        world: the processes.
    """
    schema, seen = checkpoint.schema, 0
    frequencies = shares(schema, counts)
    typical = typical_of(checkpoint, frequencies)
    out = far_out(checkpoint, frequencies, typical)
    moments = _moments_of(checkpoint)
    for drawn in islice(batches, _SAMPLE_ROWS // _BATCH_ROWS):
        moments.add(without(drawn, out, schema))
        seen += len(drawn)
    found = moments.sums().of_all(world)
    present_rows = np.maximum(found.present_rows, 1)
    hessians = found.hessians / present_rows[:, None, None]
    if found.bag_values.any():
        frequencies = shares(schema, counts, found.bag_values / int(world.total(np.array([seen]))[0]))
    curvatures = found.curvatures / present_rows
    return Sensitivity(frequencies, _regular(hessians), np.asarray(curvatures), _negligible(checkpoint, typical), out)


def _moments_of(checkpoint: FMCheckpoint) -> HostMoments | DeviceMoments:
    """Return what sums costs up, on the device that rows are scored on."""
    device = device_of(checkpoint)
    if device is None:
        return HostMoments(checkpoint)
    from fmcompress.quantization.device_moments import DeviceMoments

    return DeviceMoments(checkpoint, device)


def shares(schema: Schema, counts: Int64Array | None, bag_values: Float64Array | None = None) -> Float64Array:
    """Return the share of rows of each category, float64 (categories,); one more row each, for the sake of rare ones.

    They add up to 1 in each table, or to the number of fields that share it.

    Args:
        schema: the fields.
        counts: how often each category was seen, int64 (categories,); None where that is not known.
        bag_values: values that fields with several of them look up in each table in an average row, float64 (tables,);
            None takes one for each of them.
    """
    uses = np.bincount(schema.tables).astype(np.float64)
    if bag_values is not None:
        single = [name not in schema.poolings for name in schema.id_names]
        uses = np.bincount(schema.tables, single, len(schema)) + bag_values
    frequencies = np.ones(schema.categories)
    if counts is not None:
        frequencies += counts
    for field, often in enumerate(uses.tolist()):
        rows = schema.rows(field)
        frequencies[rows] *= often / frequencies[rows].sum()
    return frequencies


def _regular(hessians: Float64Array) -> Float64Array:
    dim = hessians.shape[-1]
    ridge = _RIDGE * np.trace(hessians, axis1=1, axis2=2) / dim
    smallest = np.finfo(np.float32).tiny
    return np.asarray(hessians + np.maximum(ridge, smallest)[:, None, None] * np.eye(dim))
