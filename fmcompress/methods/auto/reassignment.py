"""Codes assigned anew by what they do to the loss: a Newton step in codes.

With all else as it is, the loss of the rows in which category i is active is a function of its embedding and linear
weight alone, q' = (q, w), for the logit of a row is z + (q' − q'_i) · u with u = (S − q_i, 1). (With a network u is its
derivative, to first order.) To second order the loss is

    g_iᵀ (q' − q'_i) + ½ (q' − q'_i)ᵀ H_i (q' − q'_i),    g_i = Σ_rows s u,    H_i = Σ_rows c u uᵀ

with s and c slope and curvature of the loss: for the sigmoid p − t and p(1−p), t being the target. A category with few
rows would learn these by heart, so each counts as many more rows as ``prior`` in which an average category of its
field was active and the factorization machine's own embedding was right: ½ · prior · (q' − v'_i)ᵀ H_f (q' − v'_i). The
codes of all subspaces, and of the linear weight, are found by coordinate descent; all categories of a field at once,
for no two of them are active in one row. (Where fields share a table, or have several values in a row, two may be, and
what one does to the other is left out of account.) With several values in a row u is (c_j s_q (S − q), c_j s_w) for
each of them, q being their pooled embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag

from fmcompress.data.batch import Batch
from fmcompress.fm.bags import Bag
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.links import Link
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.schema import stacked
from fmcompress.fm.scorers import CheckpointScorer, scorer_of
from fmcompress.fm.tiers import Tiers
from fmcompress.processes.world import World, this_process
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array, UInt16Array

_BLOCK_BYTES = 64 * 2**20
_CHUNK_ROWS = 4096
_CHUNK_CATEGORIES = 4096
_SWEEPS = 2
# So many rows tell a category's H_i well enough; more only take time.
_CURVATURE_ROWS = 256
# What the codes of a category take to be found, beside its derivatives, in rows of these.
_ROWS_OF_DESCENT = 8


def reassign(
    model: QuantizedFM,
    sample: Batch,
    targets: Float32Array,
    *,
    teacher: FMCheckpoint,
    sensitivity: Sensitivity,
    prior: float,
) -> QuantizedFM:
    """Return a quantized factorization machine with codes assigned anew on a sample of rows.

    Args:
        model: the quantized factorization machine.
        sample: the rows, with the ids of the fields.
        targets: t, float32 (rows,).
        teacher: the factorization machine that is compressed, in the coordinates of the codebooks.
        sensitivity: H_f and h_f of each field.
        prior: for how many rows the teacher's own embedding counts.
    """
    fields, tiers = list(model.fields), model.tiers
    decoded = _decoded(model, teacher)
    embeddings = whole(decoded.embeddings)
    scorer = scorer_of(decoded)
    values = _Values.of(sample, tiers)
    bits = np.array([field.quantizer.row_bits for field in fields]) * tiers.as_fields.cardinalities
    for tier in np.argsort(-bits, kind="stable").tolist():
        if bits[tier]:
            own = tiers.order[tiers.as_fields.rows(tier)]
            column = tiers.field_of[tier]
            hessian = block_diag(sensitivity.hessians[column], sensitivity.curvatures[column]).astype(np.float32)
            rows = _RowsByCategory(sample, targets, *values.by_category(tier), scorer, decoded.link_function)
            vectors = _vectors(decoded, own), _vectors(teacher, own)
            fields[tier] = _reassigned(fields[tier], rows, *vectors, np.float32(prior), hessian)
            embeddings[own], decoded.linear[own] = fields[tier].embeddings(), fields[tier].linear()
            scorer.refresh(own, decoded.linear[own])
    return replace(model, fields=tuple(fields))


def _decoded(model: QuantizedFM, teacher: FMCheckpoint) -> FMCheckpoint:
    """Return the quantized model as a factorization machine, its weights in the order of the fields' tables."""
    embeddings, linear = np.empty(teacher.embeddings.shape, np.float32), np.empty_like(teacher.linear)
    embeddings[model.tiers.order] = np.concatenate([field.embeddings() for field in model.fields])
    linear[model.tiers.order] = np.concatenate([field.linear() for field in model.fields])
    # Decoded, a PAD's row is not zero; but it is in no row of the data.
    return replace(teacher, schema=teacher.schema.without_pads(), bias=model.bias, embeddings=embeddings, linear=linear)


def _vectors(checkpoint: FMCheckpoint, own: Int64Array) -> Float32Array:
    """Return q' of some categories, float32 (n, dim + 1)."""
    return np.concatenate([checkpoint.embeddings[own], checkpoint.linear[own, None]], axis=1)


def _reassigned(
    field: QuantizedField,
    rows: _RowsByCategory,
    current: Float32Array,
    wanted: Float32Array,
    prior: np.float32,
    hessian: Float32Array,
) -> QuantizedField:
    """Return a tier with its codes assigned anew.

    Args:
        field: the tier.
        rows: of its categories.
        current: q' as it is, float32 (cardinality, dim + 1).
        wanted: v', float32 (cardinality, dim + 1).
        prior: for how many rows v' counts.
        hessian: H_f and h_f, float32 (dim + 1, dim + 1).
    """
    subspaces = field.codes.shape[1]
    codes = np.concatenate([field.codes, field.linear_codes.reshape(len(field.codes), -1)], axis=1)
    tables = _tables_of(field)
    per_block, world = max(1, _BLOCK_BYTES // (4 * hessian.size)), this_process()
    own = rows.share(len(codes), world)
    for first in range(own.start, own.stop, per_block):
        block = slice(first, min(first + per_block, own.stop))
        gradients, hessians = rows.derivatives(current[block, :-1], block)
        gradients += prior * (current[block] - wanted[block]) @ hessian
        hessians += prior * hessian
        _descend(codes[block], tables, current[block], gradients, hessians)
    codes = world.joined(codes[own])
    return replace(field, codes=codes[:, :subspaces], linear_codes=codes[:, subspaces:].reshape(-1))


def _tables_of(field: QuantizedField) -> list[tuple[slice, Float32Array]]:
    """Return the coordinates of q' that each code stands for, and its codebook."""
    quantizer = field.quantizer
    start = field.tables[0].shape[1] if quantizer.raw else 0
    found = []
    coded = [*(() if quantizer.raw else field.tables), *(() if quantizer.linear_raw else [field.linear_table[:, None]])]
    for table in coded:
        found.append((slice(start, start + table.shape[1]), table))
        start += table.shape[1]
    return found


@dataclass(frozen=True)
class _RowsByCategory:
    """The rows in which the categories of one tier are active, sorted by category.

    Attributes:
        sample: all rows.
        targets: t of all rows, float32 (rows,).
        categories: of the sorted rows, rising, int64 (n,).
        rows: the sorted rows, int64 (n,); those of one category stay in their random order.
        columns: place of the fields in ``Schema.id_names`` in which the sorted rows hold them, int64 (n,).
        pooled: of each such place of a bag, what the values in it are multiplied by, see ``_Pooled``.
        scorer: of the model with all codes as they are.
        link: of the model.
    """

    sample: Batch
    targets: Float32Array
    categories: Int64Array
    rows: Int64Array
    columns: Int64Array
    pooled: dict[int, _Pooled]
    scorer: CheckpointScorer
    link: Link

    def derivatives(self, current: Float32Array, block: slice) -> tuple[Float32Array, Float32Array]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """
        size = current.shape[1] + 1
        gradients = np.zeros((len(current), size), dtype=np.float32)
        hessians = np.zeros((len(current), size * size), dtype=np.float32)
        for first, rows, own in self._chunks(block):
            batch = self.sample.take(rows)
            scored = self.scorer.score(batch.ids, batch.values, batch.bags)
            logits, values = scored.logits, slice(first, first + len(rows))
            slopes = self.link.slopes(logits.astype(np.float64), self.targets[rows].astype(np.float64))
            curvatures = self.link.curvatures(logits.astype(np.float64)).astype(np.float32)
            u = np.concatenate([scored.slopes(self.columns[values]), np.ones_like(logits)[:, None]], axis=1)
            for column, pooled in self.pooled.items():
                is_own, embedding, linear = pooled.own[values], pooled.embedding[values], pooled.linear[values]
                if not is_own.any():
                    continue
                rest = scored.sums - embedding[:, None] * current[own] if pooled.each else scored.slopes(column)
                of_bag = np.concatenate([embedding[:, None] * rest, linear[:, None]], axis=1)
                u = np.where(is_own[:, None], of_bag, u)
            _add_by_category(gradients, own, u * slopes.astype(np.float32)[:, None])
            kept, scales = self._thinned(own + block.start, first)
            root = u[kept] * np.sqrt(curvatures * scales)[kept, None]
            outer = (root[:, :, None] * root[:, None, :]).reshape(len(root), size * size)
            _add_by_category(hessians, own[kept], outer)
        return gradients, hessians.reshape(-1, size, size)

    def share(self, categories: int, world: World) -> slice:
        """Return the categories, of so many, that this process assigns anew: all of them take equally long."""
        work = np.cumsum(np.bincount(self.categories, minlength=categories) + _ROWS_OF_DESCENT)
        shares = [World(rank, world.size).share(int(work[-1])) for rank in range(world.size)]
        starts = [*np.searchsorted(work, [share.start for share in shares]).tolist(), categories]
        return slice(starts[world.rank], starts[world.rank + 1])

    def _chunks(self, block: slice) -> Iterator[tuple[int, Int64Array, Int64Array]]:
        """Yield place of the first row, rows, and the number in the block of their categories."""
        start, end = np.searchsorted(self.categories, [block.start, block.stop])
        for first in range(start, end, _CHUNK_ROWS):
            chunk = slice(first, min(first + _CHUNK_ROWS, end))
            yield first, self.rows[chunk], self.categories[chunk] - block.start

    def _thinned(self, own: Int64Array, first: int) -> tuple[BoolArray, Float32Array]:
        """Return which rows tell the curvature, at most 256 of a category, and how many each stands for."""
        starts = np.searchsorted(self.categories, own, side="left")
        counts = np.searchsorted(self.categories, own, side="right") - starts
        rank = np.arange(first, first + len(own)) - starts
        scales = counts / np.minimum(counts, _CURVATURE_ROWS)
        return rank < _CURVATURE_ROWS, scales.astype(np.float32)


@dataclass(frozen=True)
class _Pooled:
    """The values of one tier that are in the bags of one field.

    Attributes:
        own: which of all values they are, bool (n,).
        embedding: what their embeddings are multiplied by, 0 for other values, float32 (n,).
        linear: what their linear weights are multiplied by, 0 for other values, float32 (n,).
        each: whether each is a term of its own.
    """

    own: BoolArray
    embedding: Float32Array
    linear: Float32Array
    each: bool


@dataclass(frozen=True)
class _Values:
    """All values of a sample: those of the stacked rows, then those of bags.

    Attributes:
        ids: of each tier, -1 where a value is of another one, int32 (uses · rows, tiers).
        rows: number of rows.
        tiers: how the fields are split.
        bags: of each field with several values in a row its place in ``Schema.id_names``, its values, its pooling and
            their ids of each tier, int32 (values, tiers of its table), the first of which is the tier named.
    """

    ids: Int32Array
    rows: int
    tiers: Tiers
    bags: list[tuple[int, Bag, Pooling, int, Int32Array]]

    @classmethod
    def of(cls, sample: Batch, tiers: Tiers) -> _Values:
        """Return the values of a sample."""
        schema, bags = tiers.schema, []
        for name, bag in sample.bags.items():
            column = schema.id_names.index(name)
            table = int(schema.tables[column])
            own = tiers.of_field(table, bag.ids)
            bags.append((column, bag, schema.poolings[name], int(np.argmax(tiers.field_of == table)), own))
        return cls(tiers.ids(stacked(sample.ids, schema)), len(sample), tiers, bags)

    def by_category(self, tier: int) -> tuple[Int64Array, Int64Array, Int64Array, dict[int, _Pooled]]:
        """Return categories in a tier, rising, their rows and columns, int64 (n,) each, and which of them are bags'."""
        uses = np.flatnonzero(self.tiers.schema.tables == self.tiers.field_of[tier])
        ids, rows = [self.ids[: len(uses) * self.rows, tier]], [np.tile(np.arange(self.rows), len(uses))]
        columns = [np.repeat(uses, self.rows)]
        found: list[tuple[int, Bag, Pooling, int]] = []
        for column, bag, pooling, first, own in self.bags:
            if first <= tier < first + own.shape[1]:
                found.append((column, bag, pooling, sum(map(len, ids))))
                ids.append(own[:, tier - first])
                rows.append(bag.rows)
                columns.append(np.full(len(bag.ids), column))
        every, of_rows = np.concatenate(ids), np.concatenate(rows)
        present = np.flatnonzero(every >= 0)
        order = present[np.argsort(every[present], kind="stable")]
        pooled = {}
        for column, bag, pooling, start in found:
            in_bag = (order >= start) & (order < start + len(bag.ids))
            embedding, linear = np.zeros((2, len(order)), dtype=np.float32)
            for factors, values in zip((embedding, linear), bag.coefficients(pooling), strict=True):
                factors[in_bag] = values[order[in_bag] - start]
            pooled[column] = _Pooled(in_bag, embedding, linear, pooling.each)
        return every[order].astype(np.int64), of_rows[order], np.concatenate(columns)[order], pooled


def _add_by_category(sums: Float32Array, own: Int64Array, values: Float32Array) -> None:
    """Add values to the sums of their categories, which are sorted."""
    if len(own):
        starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
        sums[own[starts]] += np.add.reduceat(values, starts)


def _descend(
    codes: UInt16Array,
    tables: Sequence[tuple[slice, Float32Array]],
    current: Float32Array,
    gradients: Float32Array,
    hessians: Float32Array,
) -> None:
    """Choose the codes of each subspace in turn, the others as they are; ``codes`` and the other arrays change.

    Args:
        codes: uint16 (n, codes).
        tables: coordinates and codebook of each code.
        current: q' as it is, float32 (n, size).
        gradients: of the loss there, float32 (n, size).
        hessians: float32 (n, size, size).
    """
    for _ in range(_SWEEPS):
        for number, (coordinates, table) in enumerate(tables):
            if len(table) == 1:
                continue
            for first in range(0, len(codes), _CHUNK_CATEGORIES):
                some = slice(first, first + _CHUNK_CATEGORIES)
                own = hessians[some, coordinates, coordinates]
                slopes = gradients[some, coordinates] - np.einsum("nij,nj->ni", own, current[some, coordinates])
                squares = (table[:, :, None] * table[:, None, :]).reshape(len(table), -1)
                costs = slopes @ table.T + 0.5 * own.reshape(len(own), -1) @ squares.T
                chosen = costs.argmin(axis=1)
                shift = table[chosen] - current[some, coordinates]
                gradients[some] += np.einsum("nij,nj->ni", hessians[some, :, coordinates], shift)
                current[some, coordinates] = table[chosen]
                codes[some, number] = chosen
