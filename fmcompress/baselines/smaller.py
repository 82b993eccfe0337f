"""Factorization machines with smaller embeddings: in float32, and tuned in integers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from fmcompress.baselines.integers import Integers
from fmcompress.baselines.stored import FloatRows, StoredFM
from fmcompress.baselines.task import BaselinePoint, Task
from fmcompress.baselines.tuning import StoredModule, integer_table, stored_module, tune_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.types import Int64Array


def smaller_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield a trained factorization machine in float32 for each embedding size."""
    for model in task.smaller_fms():
        linear, embeddings = FloatRows(model.linear[:, None]), FloatRows(model.embeddings)
        stored = StoredFM(model.schema, model.link, model.bias, linear, embeddings)
        yield BaselinePoint(f"FM, dim {model.dim}", key, stored.file_bytes, model)


def integer_fms(key: str, task: Task, *, integers: Integers) -> Iterator[BaselinePoint]:
    """Yield the same factorization machines with embeddings in integers, tuned to them."""
    for model in task.smaller_fms():
        begin = partial(integer_module, model, task.counts, integers)
        yield tune_stored(begin, key, f"FM, dim {model.dim}, int{integers.bits}", task)


def integer_module(model: FMCheckpoint, counts: Int64Array, integers: Integers) -> StoredModule:
    """Return a model in integers to be tuned; its linear weights are int8.

    Args:
        model: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        integers: what embeddings are stored in.
    """
    return stored_module(model, counts, integer_table(model.embeddings, model.schema, counts, integers))
