"""Factorization machines with smaller embeddings: in float32, and tuned in integers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from fmcompress.baselines.integers import INT8, Integers
from fmcompress.baselines.model import StoredModule
from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.stored import FloatRows, StoredFM
from fmcompress.baselines.tables import IntegerTable
from fmcompress.baselines.task import Task
from fmcompress.baselines.tuning import tune_stored
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.training.trainable import sparse_gradients


def smaller_fms(key: str, task: Task) -> Iterator[BaselinePoint]:
    """Yield a trained factorization machine in float32 for each embedding size."""
    for dim in task.smaller.dims:
        model = task.smaller[dim]
        linear, embeddings = FloatRows(model.linear[:, None]), FloatRows(model.embeddings)
        stored = StoredFM(model.schema, model.link, model.bias, linear, embeddings)
        yield BaselinePoint(f"FM, dim {dim}", key, stored.file_bytes, model)


def integer_fms(key: str, task: Task, *, integers: Integers) -> Iterator[BaselinePoint]:
    """Yield the same factorization machines with embeddings in integers, tuned to them."""
    for dim in task.smaller.dims:
        name = f"FM, dim {dim}, int{integers.bits}"
        begin = partial(integer_module, task.smaller[dim], task.counts, integers)
        yield tune_stored(begin, key, name, task)


def integer_module(model: FMCheckpoint, counts: npt.NDArray[np.int64], integers: Integers) -> StoredModule:
    """Return a model in integers to be tuned; its linear weights are int8.

    Args:
        model: the model to start from.
        counts: rows in which each category is active, int64 (categories,).
        integers: what embeddings are stored in.
    """
    sparse = sparse_gradients(model.embeddings.size)
    linear = IntegerTable(model.linear[:, None], model.schema, counts, INT8, sparse=sparse)
    embeddings = IntegerTable(model.embeddings, model.schema, counts, integers, sparse=sparse)
    return StoredModule(model, linear, embeddings, sparse=sparse)
