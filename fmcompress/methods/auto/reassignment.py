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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, cast

import numpy as np
from scipy.linalg import block_diag

from fmcompress.data.batch import Batch
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.decoded_table import DecodedTable
from fmcompress.fm.disk_table import DiskTable, Table
from fmcompress.fm.links import Link
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.scorers import CheckpointScorer, device_of, scorer_of
from fmcompress.methods.auto.category_sums import add_by_category, add_outer_by_category
from fmcompress.methods.auto.code_budget import CodeBudget
from fmcompress.methods.auto.values_by_category import Pooled, Values, share_of
from fmcompress.processes.world import World, this_process
from fmcompress.progress import SILENT
from fmcompress.quantization.parallel import in_threads
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.types import AnyArray, BoolArray, Float32Array, Int64Array, UInt16Array

_BLOCK_BYTES = 64 * 2**20
_CHUNK_ROWS = 4096
_CHUNK_CATEGORIES = 4096
_SWEEPS = 2
_NOTHING = 1e-30
# So many rows tell a category's H_i well enough; more only take time.
_CURVATURE_ROWS = 256


def reassign(
    model: QuantizedFM,
    sample: Batch,
    targets: Float32Array,
    *,
    teacher: FMCheckpoint,
    sensitivity: Sensitivity,
    prior: float,
    budget: CodeBudget | None = None,
) -> QuantizedFM:
    """Return a quantized factorization machine with codes assigned anew on a sample of rows.

    Args:
        model: the quantized factorization machine.
        sample: the rows, with the ids of the fields.
        targets: t, float32 (rows,).
        teacher: the factorization machine that is compressed, in the coordinates of the codebooks.
        sensitivity: H_f and h_f of each field.
        prior: for how many rows the teacher's own embedding counts.
        budget: what codes may take, and what a bit is worth; None where codes have fixed widths.
    """
    fields, tiers = list(model.fields), model.tiers
    if budget is not None:
        budget.begin(model, len(sample))
    decoded = _decoded(model, fields, teacher)
    embeddings = decoded.embeddings
    scorer = scorer_of(decoded)
    values, rows_of = Values.of(sample, tiers), _row_maker(sample, targets, decoded, scorer)
    bits = np.array([field.quantizer.row_bits for field in fields]) * tiers.as_fields.cardinalities
    for tier in np.argsort(-bits, kind="stable").tolist():
        if bits[tier]:
            own = tiers.order[tiers.as_fields.rows(tier)]
            column = tiers.field_of[tier]
            hessian = block_diag(sensitivity.hessians[column], sensitivity.curvatures[column]).astype(np.float32)
            rows = rows_of(*values.by_category(tier))
            vectors = partial(_vectors, decoded, own), partial(_vectors, teacher, own)
            fields[tier] = _reassigned(fields[tier], rows, *vectors, prior, hessian, budget)
            decoded.linear[own] = fields[tier].linear()
            if not isinstance(embeddings, DiskTable):
                embeddings[own] = fields[tier].embeddings()
            scorer.refresh(own, decoded.linear[own])
    return replace(model, fields=tuple(fields))


def _row_maker(
    sample: Batch, targets: Float32Array, decoded: FMCheckpoint, scorer: CheckpointScorer
) -> Callable[..., RowsByCategory]:
    """Return what makes of categories, rows, columns and pooled values the rows of a tier, where they are scored."""
    device = device_of(decoded)
    if device is None:
        return partial(_HostRows, sample, targets, scorer, decoded.link_function)
    from fmcompress.fm.device_scorer import DeviceScorer
    from fmcompress.methods.auto.device_rows import DeviceRowsByCategory, DeviceSample

    on_device = DeviceSample(sample, targets, cast("DeviceScorer", scorer))
    return partial(DeviceRowsByCategory, on_device, most_rows=_CURVATURE_ROWS)


def _decoded(model: QuantizedFM, fields: list[QuantizedField], teacher: FMCheckpoint) -> FMCheckpoint:
    """Return the quantized model as a factorization machine, its weights in the order of the fields' tables.

    Where the teacher's embeddings are on the disk its own are decoded when they are looked at, from these fields, which
    may be replaced in the list.
    """
    linear = np.empty_like(teacher.linear)
    linear[model.tiers.order] = np.concatenate([field.linear() for field in model.fields])
    embeddings: Table = DecodedTable(fields, model.tiers, model.dim)
    if not isinstance(teacher.embeddings, DiskTable):
        embeddings = np.empty_like(teacher.embeddings)
        embeddings[model.tiers.order] = np.concatenate([field.embeddings() for field in model.fields])
    # Decoded, a PAD's row is not zero; but it is in no row of the data.
    return replace(teacher, schema=teacher.schema.without_pads(), bias=model.bias, embeddings=embeddings, linear=linear)


def _vectors(checkpoint: FMCheckpoint, own: Int64Array, block: slice) -> Float32Array:
    """Return q' of a block of some categories, int64 (m,), float32 (n, dim + 1)."""
    some = own[block]
    return np.concatenate([checkpoint.embeddings[some], checkpoint.linear[some, None]], axis=1)


def _reassigned(
    field: QuantizedField,
    rows: RowsByCategory,
    current: Callable[[slice], Float32Array],
    wanted: Callable[[slice], Float32Array],
    prior: float,
    hessian: Float32Array,
    budget: CodeBudget | None,
) -> QuantizedField:
    """Return a tier with its codes assigned anew.

    Args:
        field: the tier.
        rows: of its categories.
        current: returns q' of a block as it is, float32 (n, dim + 1).
        wanted: returns v' of a block, float32 (n, dim + 1).
        prior: for how many rows v' counts.
        hessian: H_f and h_f, float32 (dim + 1, dim + 1).
        budget: what codes may take; None where they have fixed widths.
    """
    subspaces = field.codes.shape[1]
    codes = np.concatenate([field.codes, field.linear_codes.reshape(len(field.codes), -1)], axis=1)
    coded = [(coordinates, rows.there(table)) for coordinates, table in _tables_of(field)]
    moving, costs = rows.there(codes), rows.there(hessian)
    per_block, world = max(1, _BLOCK_BYTES // (4 * hessian.size)), this_process()
    own, of_tier = rows.share(len(codes), world), None if budget is None else budget.of(field)
    for first in range(own.start, own.stop, per_block):
        block = slice(first, min(first + per_block, own.stop))
        at, to = rows.there(current(block)), rows.there(wanted(block))
        gradients, hessians = rows.derivatives(at[:, :-1], block)
        # A row is worth what it is among those of the prior: a rare category's bits are not worth more for them.
        bits = 1 + prior * costs[-1, -1] / (hessians[:, -1, -1] + costs[-1, -1] + _NOTHING)
        gradients += prior * (at - to) @ costs
        hessians += prior * costs
        if of_tier is None:
            _descend(moving[block], coded, at, gradients, hessians, rows.einsum)
        else:
            rates = [rows.there(rate) for rate in of_tier.rates]
            assign = partial(_priced, rows, moving[block], coded, (at, gradients, hessians), rates, bits)
            moving[block] = rows.there(of_tier.assigned(rows.back(moving[block]), assign))
    codes = world.joined(rows.back(moving)[own].astype(np.uint16, copy=False))
    found = replace(field, codes=codes[:, :subspaces], linear_codes=codes[:, subspaces:].reshape(-1))
    if budget is not None:
        budget.done(field, found)
    return found


def _priced(
    rows: RowsByCategory,
    codes: Any,
    tables: Sequence[tuple[slice, Any]],
    start: tuple[Any, Any, Any],
    rates: Sequence[Any],
    bits: Any,
    price: float,
) -> UInt16Array:
    """Return the codes of a block at a price of a bit, uint16 (n, codes).

    Args:
        rows: of its categories.
        codes: as they are, integers (n, codes).
        tables: coordinates and codebook of each code.
        start: q', gradients and hessians, see ``_descend``.
        rates: bits of each codeword of each code, float32 (K,).
        bits: what a bit of each category counts, float32 (n,).
        price: of a bit.
    """
    at, gradients, hessians = start
    # The arrays are changed as codes are; the hessians are not.
    found, current, slopes = (rows.there(np.array(rows.back(own))) for own in (codes, at, gradients))
    _descend(found, tables, current, slopes, hessians, rows.einsum, (rates, price * bits))
    return rows.back(found).astype(np.uint16, copy=False)


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


class RowsByCategory(Protocol):
    """The rows in which the categories of one tier are active: arrays here, or tensors where they are scored."""

    @property
    def einsum(self) -> Callable[..., Any]:
        """The function of that name, of numpy or of torch."""

    def there(self, array: AnyArray) -> Any:
        """Return an array, float32 (…) or integers (n, codes), where the rows are."""

    def back(self, found: Any) -> AnyArray:
        """Return codes that ``there`` returned in main memory, uint16 or int64 (n, codes)."""

    def share(self, categories: int, world: World) -> slice:
        """Return the categories, of so many, that this process assigns anew."""

    def derivatives(self, current: Any, block: slice) -> tuple[Any, Any]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """


@dataclass(frozen=True)
class _HostRows:
    """The rows in which the categories of one tier are active, sorted by category, in main memory.

    Attributes:
        sample: all rows.
        targets: t of all rows, float32 (rows,).
        scorer: of the model with all codes as they are.
        link: of the model.
        categories: of the sorted rows, rising, int64 (n,).
        rows: the sorted rows, int64 (n,); those of one category stay in their random order.
        columns: place of the fields in ``Schema.id_names`` in which the sorted rows hold them, int64 (n,).
        pooled: of each such place of a bag, what the values in it are multiplied by, see ``Pooled``.
    """

    sample: Batch
    targets: Float32Array
    scorer: CheckpointScorer
    link: Link
    categories: Int64Array
    rows: Int64Array
    columns: Int64Array
    pooled: dict[int, Pooled]
    einsum: Callable[..., Any] = np.einsum

    def there(self, array: AnyArray) -> AnyArray:
        """Return the array itself, float32 (…) or integers (n, codes)."""
        return array

    def back(self, found: AnyArray) -> AnyArray:
        """Return the array itself, float32 (…) or integers (n, codes)."""
        return found

    def derivatives(self, current: Float32Array, block: slice) -> tuple[Float32Array, Float32Array]:
        """Return g_i, float32 (n, dim + 1), and H_i, float32 (n, dim + 1, dim + 1), of a block of categories.

        Args:
            current: embeddings of the categories, float32 (n, dim).
            block: these categories.
        """
        size = current.shape[1] + 1
        gradients = np.zeros((len(current), size), dtype=np.float32)
        hessians = np.zeros((len(current), size, size), dtype=np.float32)
        works = [partial(self._of_chunk, current, block.start, *chunk) for chunk in self._chunks(block)]
        for first, slopes, curvatures in in_threads(works, title="costs of codes", progress=SILENT):
            own = slice(first, first + len(slopes))
            gradients[own] += slopes
            hessians[own] += curvatures
        return gradients, hessians

    def _of_chunk(
        self, current: Float32Array, start: int, first: int, rows: Int64Array, own: Int64Array
    ) -> tuple[int, Float32Array, Float32Array]:
        """Return the first category of a chunk, and the part of g_i and H_i that its rows give to it and the next ones.

        Args:
            current: embeddings of a block of categories, float32 (n, dim).
            start: the first of these.
            first: place of the chunk's first row.
            rows: its rows, int64 (m,).
            own: their categories in the block, rising, int64 (m,).
        """
        size, categories = current.shape[1] + 1, own - own[0]
        gradients = np.zeros((categories[-1] + 1, size), dtype=np.float32)
        hessians = np.zeros((categories[-1] + 1, size, size), dtype=np.float32)
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
        add_by_category(gradients, categories, u * slopes.astype(np.float32)[:, None])
        kept, scales = self._thinned(own + start, first)
        root = u[kept] * np.sqrt(curvatures * scales)[kept, None]
        add_outer_by_category(hessians, categories[kept], root)
        return int(own[0]), gradients, hessians

    def share(self, categories: int, world: World) -> slice:
        """Return the categories, of so many, that this process assigns anew: all of them take equally long."""
        return share_of(self.categories, categories, world)

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


def _descend(
    codes: Any,
    tables: Sequence[tuple[slice, Any]],
    current: Any,
    gradients: Any,
    hessians: Any,
    einsum: Callable[..., Any],
    bits: tuple[Sequence[Any], Any] | None = None,
) -> None:
    """Choose the codes of each subspace in turn, the others as they are; ``codes`` and the other arrays change.

    All are arrays, or all are tensors.

    Args:
        codes: integers (n, codes).
        tables: coordinates and codebook of each code.
        current: q' as it is, float32 (n, size).
        gradients: of the loss there, float32 (n, size).
        hessians: float32 (n, size, size).
        einsum: of numpy or of torch.
        bits: of each codeword of each code, float32 (K,), and what one costs each category, float32 (n,).
    """
    for _ in range(_SWEEPS):
        for number, (coordinates, table) in enumerate(tables):
            if len(table) == 1:
                continue
            for first in range(0, len(codes), _CHUNK_CATEGORIES):
                some = slice(first, first + _CHUNK_CATEGORIES)
                own = hessians[some, coordinates, coordinates]
                slopes = gradients[some, coordinates] - einsum("nij,nj->ni", own, current[some, coordinates])
                squares = (table[:, :, None] * table[:, None, :]).reshape(len(table), -1)
                costs = slopes @ table.T + 0.5 * own.reshape(len(own), -1) @ squares.T
                if bits is not None:
                    costs += bits[1][some, None] * bits[0][number][None]
                chosen = costs.argmin(axis=1)
                shift = table[chosen] - current[some, coordinates]
                gradients[some] += einsum("nij,nj->ni", hessians[some, :, coordinates], shift)
                current[some, coordinates] = table[chosen]
                codes[some, number] = chosen
