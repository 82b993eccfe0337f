"""Codes chosen anew by what they do to the loss: a Newton step in codes.

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
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fmcompress.data.batch import Batch
from fmcompress.finetune.options import ReassignOptions
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized import QuantizedField, QuantizedFM
from fmcompress.fm.scorer import FMScorer
from fmcompress.fm.shared_tables import stacked
from fmcompress.fm.tiers import Tiers
from fmcompress.quantization.sensitivity import Sensitivity

Array = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]

_BLOCK_BYTES = 64 * 2**20
_CHUNK_ROWS = 4096
_CHUNK_CATEGORIES = 4096
_SWEEPS = 2
# So many rows tell a category's H_i well enough; more only take time.
_CURVATURE_ROWS = 256


class Reassigner:
    """Chooses the codes of a quantized factorization machine anew."""

    def __init__(self, teacher: FMCheckpoint, sensitivity: Sensitivity, tiers: Tiers, options: ReassignOptions) -> None:
        """Keep what does not change.

        Args:
            teacher: the factorization machine that is compressed, in the coordinates of the codebooks.
            sensitivity: H_f and h_f of each field.
            tiers: how its fields are cut into parts.
            options: how to choose.
        """
        self._teacher = teacher
        self._sensitivity = sensitivity
        self._tiers = tiers
        self._prior = np.float32(options.prior)

    def __call__(self, model: QuantizedFM, sample: Batch, targets: Array) -> QuantizedFM:
        """Return the model with codes chosen on a sample of rows.

        Args:
            model: the quantized factorization machine.
            sample: the rows, with the ids of the fields.
            targets: t, float32 (rows,).
        """
        fields = list(model.fields)
        state = _Decoded(self._teacher, model)
        ids = self._tiers.ids(stacked(sample.ids, self._tiers.schema))
        sizes = [field.quantizer.row_bits * len(state.rows_of(part)) for part, field in enumerate(fields)]
        for part in np.argsort(-np.array(sizes), kind="stable").tolist():
            if sizes[part]:
                fields[part] = self._field(state, part, fields[part], _Rows(sample, ids[:, part], targets))
                state.update(part, fields[part])
        return replace(model, fields=tuple(fields))

    def _field(self, state: _Decoded, part: int, field: QuantizedField, rows: _Rows) -> QuantizedField:
        own = state.rows_of(part)
        column = int(self._tiers.field_of[part])
        hessian = np.zeros((self._teacher.dim + 1,) * 2, dtype=np.float32)
        hessian[:-1, :-1] = self._sensitivity.hessians[column]
        hessian[-1, -1] = self._sensitivity.curvatures[column]
        wanted = np.concatenate([self._teacher.embeddings[own], self._teacher.linear[own, None]], axis=1)
        current = np.concatenate([state.embeddings[own], state.linear[own, None]], axis=1)
        coded = _codes_of(field)
        tables = _tables_of(field)
        per_block = max(1, _BLOCK_BYTES // (4 * hessian.size))
        for first in range(0, len(own), per_block):
            block = slice(first, min(first + per_block, len(own)))
            gradients, hessians = rows.derivatives(state, current[block, :-1], block)
            gradients += self._prior * (current[block] - wanted[block]) @ hessian
            hessians += self._prior * hessian
            _descend(coded[block], tables, current[block], gradients, hessians)
        return _with_codes(field, coded)


class _Decoded:
    """The decoded weights of a quantized model, in the order of the fields' tables."""

    def __init__(self, like: FMCheckpoint, model: QuantizedFM) -> None:
        self._tiers = model.tiers
        self.embeddings = np.empty_like(like.embeddings)
        self.linear = np.empty_like(like.linear)
        for part, field in enumerate(model.fields):
            own = self.rows_of(part)
            self.embeddings[own], self.linear[own] = field.embeddings(), field.linear()
        # Decoded, a PAD's row is not zero; but it is in no row of the data.
        schema = like.schema.without_pads()
        decoded = replace(like, schema=schema, bias=model.bias, embeddings=self.embeddings, linear=self.linear)
        self._scorer = FMScorer(decoded)
        self.link = like.link_function

    def rows_of(self, part: int) -> Whole:
        """Return the rows of the tables of a part's categories, int64 (n,)."""
        return self._tiers.order[self._tiers.parts.rows(part)]

    def update(self, part: int, field: QuantizedField) -> None:
        """Take over a part's weights."""
        own = self.rows_of(part)
        self.embeddings[own], self.linear[own] = field.embeddings(), field.linear()
        self._scorer.refresh(own, self.linear[own])

    def logits_and_sums(self, batch: Batch) -> tuple[Array, Array]:
        """Return logits, float32 (rows,), and S, float32 (rows, dim)."""
        return self._scorer.logits_and_sums(batch.ids, batch.values)


class _Rows:
    """The rows in which the categories of one part are active, sorted by category."""

    def __init__(self, sample: Batch, own: npt.NDArray[np.int32], targets: Array) -> None:
        """Sort the rows; those of one category stay in their random order.

        Args:
            sample: the rows.
            own: category in the part of the stacked rows, -1 where they have none, int32 (uses · rows,).
            targets: t, float32 (rows,).
        """
        self._sample, self._targets = sample, targets
        present = np.flatnonzero(own >= 0)
        order = present[np.argsort(own[present], kind="stable")]
        self._own = own[order].astype(np.int64)
        self._rows = order % len(sample)

    def derivatives(self, state: _Decoded, current: Array, block: slice) -> tuple[Array, Array]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            state: all weights as they are.
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """
        size = current.shape[1] + 1
        gradients = np.zeros((len(current), size), dtype=np.float32)
        hessians = np.zeros((len(current), size * size), dtype=np.float32)
        for rows, own in self._chunks(block):
            logits, sums = state.logits_and_sums(self._sample.take(rows))
            slopes = state.link.slopes(logits.astype(np.float64), self._targets[rows].astype(np.float64))
            curvatures = state.link.curvatures(logits.astype(np.float64)).astype(np.float32)
            u = np.concatenate([sums - current[own], np.ones_like(logits)[:, None]], axis=1)
            _add_by_category(gradients, own, u * slopes.astype(np.float32)[:, None])
            kept, scales = self._thinned(own + block.start, rows)
            root = u[kept] * np.sqrt(curvatures * scales)[kept, None]
            outer = (root[:, :, None] * root[:, None, :]).reshape(len(root), size * size)
            _add_by_category(hessians, own[kept], outer)
        return gradients, hessians.reshape(-1, size, size)

    def _chunks(self, block: slice) -> Iterator[tuple[Whole, Whole]]:
        """Yield rows and the number in the block of their categories."""
        start, end = np.searchsorted(self._own, [block.start, block.stop])
        for first in range(start, end, _CHUNK_ROWS):
            chunk = slice(first, min(first + _CHUNK_ROWS, end))
            self._first = first
            yield self._rows[chunk], self._own[chunk] - block.start

    def _thinned(self, own: Whole, rows: Whole) -> tuple[npt.NDArray[np.bool_], Array]:
        """Return which rows tell the curvature, at most 256 of a category, and how many each stands for."""
        starts = np.searchsorted(self._own, own, side="left")
        counts = np.searchsorted(self._own, own, side="right") - starts
        rank = np.arange(self._first, self._first + len(rows)) - starts
        scales = counts / np.minimum(counts, _CURVATURE_ROWS)
        return rank < _CURVATURE_ROWS, scales.astype(np.float32)


def _add_by_category(sums: Array, own: Whole, values: Array) -> None:
    """Add values to the sums of their categories, which are sorted."""
    if len(own):
        starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
        sums[own[starts]] += np.add.reduceat(values, starts)


def _codes_of(field: QuantizedField) -> npt.NDArray[np.uint16]:
    """Return a copy of the codes of embedding and linear weight, uint16 (cardinality, codes)."""
    if field.quantizer.linear_raw:
        return field.codes.copy()
    return np.concatenate([field.codes, field.linear_codes[:, None]], axis=1)


def _with_codes(field: QuantizedField, codes: npt.NDArray[np.uint16]) -> QuantizedField:
    """Return the field with other codes; the pair of ``_codes_of``."""
    if field.quantizer.linear_raw:
        return replace(field, codes=codes)
    return replace(field, codes=codes[:, :-1], linear_codes=codes[:, -1])


def _tables_of(field: QuantizedField) -> list[tuple[slice, Array]]:
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
    codes: npt.NDArray[np.uint16],
    tables: Sequence[tuple[slice, Array]],
    current: Array,
    gradients: Array,
    hessians: Array,
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
