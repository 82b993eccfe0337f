"""Smaller factorization machines: of smaller embeddings, in integers, or with rows pruned, and tuned as such."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from fmcompress.baselines.integers import Integers
from fmcompress.baselines.stored import FloatRows, StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import KeptTable, StoredModule, integer_table, stored_module, tune_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.disk_table import whole
from fmcompress.types import Int64Array

_NUMBER_BYTES = np.dtype(np.float16).itemsize


def smaller_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield a trained factorization machine in float32 for each embedding size."""
    for model in task.smaller_fms():
        linear, embeddings = FloatRows(model.linear[:, None]), FloatRows(whole(model.embeddings))
        stored = StoredFM(model.schema, model.link, model.bias, linear, embeddings)
        yield BaselinePoint(f"FM, dim {model.dim}", key, stored.file_bytes, model)


def integer_fms(key: str, task: Task, *, integers: Integers) -> Iterator[BaselinePoint]:
    """Yield the same factorization machines with embeddings in integers, tuned to them."""
    for model in task.smaller_fms():
        begin = partial(integer_module, model, task.counts, integers)
        yield tune_stored(begin, key, f"FM, dim {model.dim}, int{integers.bits}", task)


def pruned_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield the source with as many embeddings as fit each budget: magnitude pruning, tuned."""
    source = task.source
    for budget in task.budgets:
        rows = rows_that_fit(source, task.counts, budget)
        if rows is None:
            task.progress.note(f"no pruned FM has {budget:,} bytes or less")
            continue
        begin = partial(pruned_module, source, task.counts, rows)
        yield tune_stored(begin, key, f"FM, dim {source.dim}, {rows:,} rows kept", task)


def integer_module(model: FMCheckpoint, counts: Int64Array, integers: Integers) -> StoredModule:
    """Return a model in integers to be tuned; its linear weights are int8.

    Args:
        model: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        integers: what embeddings are stored in.
    """
    return stored_module(model, counts, integer_table(whole(model.embeddings), model.schema, counts, integers))


def rows_that_fit(source: FMCheckpoint, counts: Int64Array, budget_bytes: int) -> int | None:
    """Return how many embeddings can be kept; None where not even the rest of the model fits.

    Args:
        source: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        budget_bytes: the size that its file must not exceed.
    """
    none_kept = pruned_module(source, counts, 0).stored().file_bytes
    rows = min(len(source.embeddings), (budget_bytes - none_kept) // (_NUMBER_BYTES * source.dim))
    # The file's own header grows with the digits of its sizes.
    while rows >= 0 and pruned_module(source, counts, rows).stored().file_bytes > budget_bytes:
        rows -= 1
    return rows if rows >= 0 else None


def pruned_module(source: FMCheckpoint, counts: Int64Array, rows: int) -> StoredModule:
    """Return the source with some embeddings kept, to be tuned; its linear weights are int8.

    Kept are the rows with the largest f_i · ‖v_i‖².

    Args:
        source: the model to start from.
        counts: f_i, rows in which each category is active, int64 (categories,).
        rows: how many embeddings are kept.
    """
    embeddings = whole(source.embeddings)
    magnitudes = counts * np.einsum("il,il->i", embeddings, embeddings, dtype=np.float64)
    kept = np.zeros(len(magnitudes), dtype=np.bool_)
    kept[np.argsort(-magnitudes, kind="stable")[:rows]] = True
    return stored_module(source, counts, KeptTable(embeddings, kept))
