"""Rare categories of a field share one vector, all others have their own in integers: what many systems do.

Kept are the categories with the highest counts, as many as the budget allows; of those with the same count the longest
embeddings. Embeddings are in 4 or 8 bits, of the source's size or cut to a half or a quarter of it along principal
axes; linear weights are in 8 bits, those of all categories where they take a fifth of the budget or less, else those of
the kept ones. All is tuned in the integers that are stored, the shared vectors too.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fmcompress.baselines.centred import CentredTable, empty_rows
from fmcompress.baselines.composed import Form, bytes_with
from fmcompress.baselines.halving import best_points
from fmcompress.baselines.integers import INT8
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import StoredModule, TrainableTable, integer_table
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.types import Int64Array

_SHAPES = ((1, 4), (2, 4), (4, 4), (1, 8))
"""By how much embeddings are cut, and bits of a number."""
_LINEAR_BITS = 8
_LINEAR_SHARE = 0.2


def shared_tail_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model with the most categories of their own that meets it, in the better form."""
    return best_points(key, task, partial(_forms, task), screened=True)


def _forms(task: Task, budget_bytes: int) -> list[Form]:
    every = task.source.schema.categories <= _LINEAR_SHARE * budget_bytes
    forms = []
    for divisor, bits in _SHAPES:
        dim = task.source.dim // divisor
        if dim == 0:
            continue
        rows = most_rows(task, dim, bits, budget_bytes, every_linear=every)
        if rows is not None:
            source = reduced(task.source, task.counts, dim, task.options.seed)
            begin = partial(tailed_module, source, task.counts, bits, every_linear=every)
            name = f"shared tail, dim {dim}, int{bits}, {rows:,} categories kept"
            forms.append(Form(f"dim {dim}, int{bits}", name, partial(begin, rows)))
    return forms


def most_rows(task: Task, dim: int, bits: int, budget_bytes: int, *, every_linear: bool) -> int | None:
    """Return how many categories can be kept within a budget; None where not even none can.

    Args:
        task: has the fields and the counts.
        dim: embedding size.
        bits: of a number of an embedding.
        budget_bytes: the size that the file must not exceed.
        every_linear: whether all categories have linear weights of their own.
    """
    schema, order = task.source.schema, np.argsort(-task.counts, kind="stable")
    low, high = -1, len(order)
    while low < high:
        middle = (low + high + 1) // 2
        kept = np.zeros(len(order), np.uint8)
        kept[order[:middle]] = 1
        table = empty_rows(schema, kept * np.uint8(bits), dim)
        linear = empty_rows(schema, kept * np.uint8(_LINEAR_BITS), 1, lists_bits=False)
        size = StoredFM(schema, "sigmoid", 0.0, linear, table).file_bytes
        size = bytes_with(table, schema) if every_linear else size
        low, high = (middle, high) if size <= budget_bytes else (low, middle - 1)
    return low if low >= 0 else None


def reduced(source: FMCheckpoint, counts: Int64Array, dim: int, seed: int) -> FMCheckpoint:
    """Return a model with embeddings cut to the axes that matter most, and turned so that all numbers are alike.

    Args:
        source: the trained model.
        counts: rows in which each category is active, int64 (categories,).
        dim: the new embedding size.
        seed: what the turn is drawn from.
    """
    if dim == source.dim:
        return source
    table = whole(source.embeddings).astype(np.float64)
    _, axes = np.linalg.eigh((table * counts[:, None]).T @ table)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))
    embeddings = (table @ axes[:, -dim:] @ turn).astype(np.float32)
    return FMCheckpoint(source.schema, source.bias, source.linear, embeddings, source.link)


def tailed_module(
    source: FMCheckpoint, counts: Int64Array, bits: int, rows: int, *, every_linear: bool
) -> StoredModule:
    """Return a model with so many categories of their own, to be tuned.

    Args:
        source: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        bits: of a number of an embedding.
        rows: how many categories are kept.
        every_linear: whether all categories have linear weights of their own.
    """
    embeddings, linear = whole(source.embeddings), source.linear[:, None]
    lengths = np.einsum("il,il->i", embeddings, embeddings)
    kept = np.zeros(len(counts), np.uint8)
    kept[np.lexsort((-lengths, -counts))[:rows]] = 1
    table = CentredTable(source.schema, embeddings, counts, kept * np.uint8(bits))
    weights: TrainableTable = integer_table(linear, source.schema, counts, INT8)
    if not every_linear:
        weights = CentredTable(source.schema, linear, counts, kept * np.uint8(_LINEAR_BITS), lists_bits=False)
    return StoredModule(source, weights, table)
