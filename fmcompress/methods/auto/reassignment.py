"""Codes assigned anew by what they do to the loss: a Newton step in codes.

With all else as it is, the loss of the rows in which category i is active is a function of its embedding and linear
weight alone, q' = (q, w), for the logit of a row is z + (q' − q'_i) · u with u = (S − q_i, 1). To second order it is

    g_iᵀ (q' − q'_i) + ½ (q' − q'_i)ᵀ H_i (q' − q'_i),    g_i = Σ_rows s u,    H_i = Σ_rows c u uᵀ

with s and c slope and curvature of the loss: for the sigmoid p − t and p(1−p), t being the target. A category with few
rows would learn these by heart, so each counts as many more rows as ``prior`` in which an average category of its
field was active and the factorization machine's own embedding was right: ½ · prior · (q' − v'_i)ᵀ H_f (q' − v'_i). The
codes of all subspaces, and of the linear weight, are found by coordinate descent; all categories of a field at once,
for no two of them are active in one row. (Where fields share a table two may be, and what one does to the other is
left out of account.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmcompress.data.batch import Batch
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.links import Link
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.schema import stacked
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.tiers import Tiers
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import BoolArray, Float32Array, Int32Array, Int64Array, UInt16Array

_BLOCK_BYTES = 64 * 2**20
_CHUNK_ROWS = 4096
_CHUNK_CATEGORIES = 4096
_SWEEPS = 2
# So many rows tell a category's H_i well enough; more only take time.
_CURVATURE_ROWS = 256


def reassign(
    model: QuantizedFM,
    sample: Batch,
    targets: Float32Array,
    *,
    teacher: FMCheckpoint,
    sensitivity: Sensitivity,
    tiers: Tiers,
    prior: float,
) -> QuantizedFM:
    """Return a quantized factorization machine with codes assigned anew on a sample of rows.

    Args:
        model: the quantized factorization machine.
        sample: the rows, with the ids of the fields.
        targets: t, float32 (rows,).
        teacher: the factorization machine that is compressed, in the coordinates of the codebooks.
        sensitivity: H_f and h_f of each field.
        tiers: how its fields are split.
        prior: for how many rows the teacher's own embedding counts.
    """
    fields = list(model.fields)
    decoded = _decode(teacher, model)
    ids = tiers.ids(stacked(sample.ids, tiers.schema))
    sizes = [field.quantizer.row_bits * len(decoded.rows_of(tier)) for tier, field in enumerate(fields)]
    for tier in np.argsort(-np.array(sizes), kind="stable").tolist():
        if sizes[tier]:
            column = int(tiers.field_of[tier])
            cost = np.float32(prior), _hessian(sensitivity, column)
            fields[tier] = _reassigned(
                decoded, tier, fields[tier], _rows_by_category(sample, ids[:, tier], targets), cost
            )
            decoded.update(tier, fields[tier])
    return replace(model, fields=tuple(fields))


def _hessian(sensitivity: Sensitivity, column: int) -> Float32Array:
    """Return H_f and h_f as one matrix, float32 (dim + 1, dim + 1)."""
    own = sensitivity.hessians[column]
    hessian = np.zeros((len(own) + 1,) * 2, dtype=np.float32)
    hessian[:-1, :-1] = own
    hessian[-1, -1] = sensitivity.curvatures[column]
    return hessian


def _reassigned(
    decoded: _Decoded,
    tier: int,
    field: QuantizedField,
    rows: _RowsByCategory,
    cost: tuple[np.float32, Float32Array],
) -> QuantizedField:
    """Return a tier with its codes assigned anew; ``cost`` is the prior and the matrix of what errors cost."""
    prior, hessian = cost
    teacher, own = decoded.teacher, decoded.rows_of(tier)
    wanted = np.concatenate([teacher.embeddings[own], teacher.linear[own, None]], axis=1)
    current = np.concatenate([decoded.embeddings[own], decoded.linear[own, None]], axis=1)
    coded = _codes_of(field)
    tables = _tables_of(field)
    per_block = max(1, _BLOCK_BYTES // (4 * hessian.size))
    for first in range(0, len(own), per_block):
        block = slice(first, min(first + per_block, len(own)))
        gradients, hessians = rows.derivatives(decoded, current[block, :-1], block)
        gradients += prior * (current[block] - wanted[block]) @ hessian
        hessians += prior * hessian
        _descend(coded[block], tables, current[block], gradients, hessians)
    return _with_codes(field, coded)


@dataclass(frozen=True)
class _Decoded:
    """The decoded weights of a quantized model, in the order of the fields' tables."""

    teacher: FMCheckpoint
    tiers: Tiers
    embeddings: Float32Array
    linear: Float32Array
    scorer: FMScorer

    @property
    def link(self) -> Link:
        return self.teacher.link_function

    def rows_of(self, tier: int) -> Int64Array:
        """Return the rows of the tables of a tier's categories, int64 (n,)."""
        return self.tiers.order[self.tiers.as_fields.rows(tier)]

    def update(self, tier: int, field: QuantizedField) -> None:
        """Take over a tier's weights."""
        own = self.rows_of(tier)
        self.embeddings[own], self.linear[own] = field.embeddings(), field.linear()
        self.scorer.refresh(own, self.linear[own])

    def logits_and_sums(self, batch: Batch) -> tuple[Float32Array, Float32Array]:
        """Return logits, float32 (rows,), and S, float32 (rows, dim)."""
        return self.scorer.logits_and_sums(batch.ids, batch.values)


def _decode(teacher: FMCheckpoint, model: QuantizedFM) -> _Decoded:
    embeddings, linear = np.empty_like(teacher.embeddings), np.empty_like(teacher.linear)
    for tier, field in enumerate(model.fields):
        own = model.tiers.order[model.tiers.as_fields.rows(tier)]
        embeddings[own], linear[own] = field.embeddings(), field.linear()
    # Decoded, a PAD's row is not zero; but it is in no row of the data.
    schema = teacher.schema.without_pads()
    decoded = replace(teacher, schema=schema, bias=model.bias, embeddings=embeddings, linear=linear)
    return _Decoded(teacher, model.tiers, embeddings, linear, FMScorer(decoded))


@dataclass(frozen=True)
class _RowsByCategory:
    """The rows in which the categories of one tier are active, sorted by category.

    Attributes:
        sample: all rows.
        targets: t of all rows, float32 (rows,).
        categories: of the sorted rows, rising, int64 (n,).
        rows: the sorted rows, int64 (n,); those of one category stay in their random order.
    """

    sample: Batch
    targets: Float32Array
    categories: Int64Array
    rows: Int64Array

    def derivatives(self, decoded: _Decoded, current: Float32Array, block: slice) -> tuple[Float32Array, Float32Array]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            decoded: all weights as they are.
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """
        size = current.shape[1] + 1
        gradients = np.zeros((len(current), size), dtype=np.float32)
        hessians = np.zeros((len(current), size * size), dtype=np.float32)
        for first, rows, own in self._chunks(block):
            logits, sums = decoded.logits_and_sums(self.sample.take(rows))
            slopes = decoded.link.slopes(logits.astype(np.float64), self.targets[rows].astype(np.float64))
            curvatures = decoded.link.curvatures(logits.astype(np.float64)).astype(np.float32)
            u = np.concatenate([sums - current[own], np.ones_like(logits)[:, None]], axis=1)
            _add_by_category(gradients, own, u * slopes.astype(np.float32)[:, None])
            kept, scales = self._thinned(own + block.start, first)
            root = u[kept] * np.sqrt(curvatures * scales)[kept, None]
            outer = (root[:, :, None] * root[:, None, :]).reshape(len(root), size * size)
            _add_by_category(hessians, own[kept], outer)
        return gradients, hessians.reshape(-1, size, size)

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


def _rows_by_category(sample: Batch, own: Int32Array, targets: Float32Array) -> _RowsByCategory:
    """Sort rows by their category in a tier, -1 where they have none, int32 (uses · rows,)."""
    present = np.flatnonzero(own >= 0)
    order = present[np.argsort(own[present], kind="stable")]
    return _RowsByCategory(sample, targets, own[order].astype(np.int64), order % len(sample))


def _add_by_category(sums: Float32Array, own: Int64Array, values: Float32Array) -> None:
    """Add values to the sums of their categories, which are sorted."""
    if len(own):
        starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
        sums[own[starts]] += np.add.reduceat(values, starts)


def _codes_of(field: QuantizedField) -> UInt16Array:
    """Return a copy of the codes of embedding and linear weight, uint16 (cardinality, codes)."""
    if field.quantizer.linear_raw:
        return field.codes.copy()
    return np.concatenate([field.codes, field.linear_codes[:, None]], axis=1)


def _with_codes(field: QuantizedField, codes: UInt16Array) -> QuantizedField:
    """Return the field with other codes; the pair of ``_codes_of``."""
    if field.quantizer.linear_raw:
        return replace(field, codes=codes)
    return replace(field, codes=codes[:, :-1], linear_codes=codes[:, -1])


def _tables_of(field: QuantizedField) -> list[tuple[slice, Float32Array]]:
    """Return the coordinates of q' that each code stands for, and its codebook."""
    found, start = [], 0
    if field.quantizer.raw:
        start = field.tables[0].shape[1]
    else:
        for table in field.tables:
            found.append((slice(start, start + table.shape[1]), table))
            start += table.shape[1]
    if not field.quantizer.linear_raw:
        found.append((slice(start, start + 1), field.linear_table[:, None]))
    return found


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
