"""Shaver: numbers pruned by their Shapley values, with the field's mean in place of zero (Tran et al., WWW 2025).

All is pruned at once, linear weights too, and what is left is trained on with the placeholders: the kept numbers in 4
or 8 bits, which ones being stored as a bitmap or as gaps.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fmcompress.baselines.centred import CentredTable, empty_rows, field_means
from fmcompress.baselines.composed import Form
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.shapley import shapley_values
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import StoredModule
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.fm.schema import Schema
from fmcompress.types import BoolArray, Float64Array, Int64Array, UInt8Array

_BITS = (4, 8)
_LINEAR_BITS = 8


def shaved_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the most numbers that meets it, in the better number of bits."""
    return best_points(key, task, partial(_forms, task, _values(task)), screened=True)


def _values(task: Task) -> Float64Array:
    """Return the sizes of the Shapley values of all numbers, float64 (categories, dim + 1)."""
    source = task.source
    numbers = np.column_stack([whole(source.embeddings), source.linear])
    means = field_means(source.schema, numbers, task.counts, np.ones(numbers.shape, np.bool_))
    return np.abs(shapley_values(source, means, task.data.rows, task.options.seed))


def _forms(task: Task, values: Float64Array, budget_bytes: int) -> list[Form]:
    forms, order = [], np.argsort(-values, axis=None, kind="stable")
    for bits in _BITS:
        numbers = most_numbers(task.source.schema, order, values.shape, bits, budget_bytes)
        if numbers is not None:
            kept = _kept(order, values.shape, numbers)
            begin = partial(shaved_module, task.source, task.counts, kept, bits)
            forms.append(Form(f"int{bits}", f"Shaver, int{bits}, {numbers:,} numbers kept", begin))
    return forms


def most_numbers(schema: Schema, order: Int64Array, shape: tuple[int, ...], bits: int, budget_bytes: int) -> int | None:
    """Return the most numbers that can be kept within a budget; None where not even none can.

    Args:
        schema: the fields.
        order: of all numbers, the most valuable ones first, int64 (numbers,).
        shape: categories and columns.
        bits: of a number of an embedding.
        budget_bytes: the size that the file must not exceed.
    """
    low, high = -1, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        kept = _kept(order, shape, middle)
        linear = empty_rows(schema, _linear_bits(kept), 1)
        stored = StoredFM(schema, "sigmoid", 0.0, linear, empty_rows(schema, *_own(kept, bits)))
        low, high = (middle, high) if stored.file_bytes <= budget_bytes else (low, middle - 1)
    return low if low >= 0 else None


def shaved_module(source: FMCheckpoint, counts: Int64Array, kept: BoolArray, bits: int) -> StoredModule:
    """Return a model without all other numbers, to be trained on.

    Args:
        source: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        kept: numbers that stay, the linear weight being the last of a row, bool (categories, dim + 1).
        bits: of a number of an embedding.
    """
    embeddings, linear = whole(source.embeddings), source.linear[:, None]
    own, _, _ = _own(kept, bits)
    table = CentredTable(source.schema, embeddings, counts, own, kept[:, :-1])
    return StoredModule(source, CentredTable(source.schema, linear, counts, _linear_bits(kept)), table)


def _kept(order: Int64Array, shape: tuple[int, ...], numbers: int) -> BoolArray:
    kept = np.zeros(len(order), np.bool_)
    kept[order[:numbers]] = True
    return kept.reshape(shape)


def _own(kept: BoolArray, bits: int) -> tuple[UInt8Array, int, BoolArray]:
    """Return the bits of embeddings, uint8 (categories,), how many columns they have, and which numbers stay."""
    own = kept[:, :-1].any(axis=1)
    return np.where(own, np.uint8(bits), np.uint8(0)), kept.shape[1] - 1, kept[own, :-1]


def _linear_bits(kept: BoolArray) -> UInt8Array:
    """Return the bits of linear weights, uint8 (categories,)."""
    return np.where(kept[:, -1], np.uint8(_LINEAR_BITS), np.uint8(0))
