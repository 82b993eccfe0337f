"""Factorization machines in tuning that are stored in integers or pruned: by distillation or on labels.

Tables are trained in float32, and looked up as they will be stored.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding, pad

from fmcompress.backbones.vanilla_fm import ActiveRows, RowNumbers, logits_and_norms
from fmcompress.baselines.integers import INT8, Integers, as_float16, best_steps, fake_float16, fake_quantized
from fmcompress.baselines.stored import IntegerRows, KeptRows, StoredFM, StoredTable
from fmcompress.baselines.task import BaselinePoint, Task, Trial
from fmcompress.data.batch import Batch
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.objective import Targets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.training.loop import Fit, Schedule, fit
from fmcompress.training.trainable import Trainable, adam, linear_decay, sparse_gradients
from fmcompress.types import BoolArray, Float16Array, Float32Array, Int64Array


class TrainableTable(nn.Module, ABC):
    """A table of all categories in training, in the form in which it will be stored."""

    @abstractmethod
    def forward(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows of the table, float32 (rows, n, columns), of row numbers, int64 (rows, n), of any fields.

        The row after the last, of missing values, is zero.
        """

    @abstractmethod
    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients are sparse where ``sparse`` is given."""

    @abstractmethod
    def stored(self) -> StoredTable:
        """Return the table as a file holds it."""


class IntegerTable(TrainableTable):
    """A table to be stored in integers, with a step of each field and column that is learned along.

    Attributes:
        values: float32 (categories + 1, columns); the last row is 0, for missing values.
        log_steps: logarithms of the steps, float32 (fields, columns): Adam moves them by shares of themselves.
        gradient_scales: g of LSQ, float32 (fields, 1).
        ends: last row + 1 of each field, int64 (fields,).
    """

    gradient_scales: Tensor
    ends: Tensor

    def __init__(self, values: Float32Array, steps: Float16Array, schema: Schema, integers: Integers) -> None:
        """Take over a table, float32 (categories, columns), and its steps, float16 (fields, columns)."""
        super().__init__()
        self._schema, self._integers = schema, integers
        self.values = nn.Parameter(_with_missing(values))
        self.log_steps = nn.Parameter(torch.from_numpy(np.log(steps.astype(np.float32))))
        scales = (schema.cardinalities * integers.highest) ** -0.5
        self.register_buffer("gradient_scales", torch.from_numpy(scales.astype(np.float32))[:, None], persistent=False)
        self.register_buffer("ends", torch.from_numpy(schema.offsets + schema.cardinalities), persistent=False)

    def forward(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return the quantized rows, float32 (rows, n, columns), of row numbers, int64 (rows, n), of any fields."""
        found = embedding(rows, self.values, padding_idx=len(self.values) - 1, sparse=sparse)
        steps, scales = fake_float16(self.log_steps.exp()), self.gradient_scales
        if self._schema.shared or self._schema.poolings:  # the rows are not one of each table, in their order
            tables = torch.searchsorted(self.ends, rows, right=True).clamp_max(len(self.ends) - 1)
            steps, scales = steps[tables], scales[tables]
        return fake_quantized(found, steps, scales, self._integers)

    def tables(self) -> list[nn.Parameter]:
        """Return the numbers."""
        return [self.values]

    def stored(self) -> IntegerRows:
        """Return the table as a file holds it."""
        values = self.values.detach().cpu().numpy()[:-1]
        steps = as_float16(self.log_steps.detach().exp().cpu().numpy())
        fields = zip(self._schema.split(values), steps.astype(np.float32), strict=True)
        codes = np.concatenate([self._integers.codes(table, step).astype(np.int8) for table, step in fields])
        return IntegerRows(self._schema, codes, steps, self._integers)


class KeptTable(TrainableTable):
    """A table of which some rows are kept, and all others are zero.

    Attributes:
        values: the kept rows, then one of 0, float32 (kept rows + 1, columns).
        places: where each row is in ``values``, int64 (categories + 1,); rows that are not kept have the last place.
    """

    places: Tensor

    def __init__(self, values: Float32Array, kept: BoolArray) -> None:
        """Take over the rows of a table, float32 (categories, columns), that are kept, bool (categories,)."""
        super().__init__()
        self._kept = kept
        self.values = nn.Parameter(_with_missing(values[kept]))
        places = np.full(len(kept) + 1, kept.sum(), dtype=np.int64)
        places[:-1][kept] = np.arange(kept.sum())
        self.register_buffer("places", torch.from_numpy(places), persistent=False)

    def forward(self, rows: Tensor, *, sparse: bool) -> Tensor:
        """Return rows, float32 (rows, fields, columns), of row numbers, int64 (rows, fields)."""
        return embedding(self.places[rows], self.values, padding_idx=len(self.values) - 1, sparse=sparse)

    def tables(self) -> list[nn.Parameter]:
        """Return the numbers."""
        return [self.values]

    def stored(self) -> KeptRows:
        """Return the table as a file holds it."""
        return KeptRows(self.values.detach().cpu().numpy()[:-1].astype(np.float16), self._kept)


def integer_table(values: Float32Array, schema: Schema, counts: Int64Array, integers: Integers) -> IntegerTable:
    """Return a table with the steps of the least error.

    Args:
        values: the table to start from, float32 (categories, columns).
        schema: the fields.
        counts: rows in which each category is active, int64 (categories,).
        integers: what it is to be stored in.
    """
    return IntegerTable(values, best_steps(values, schema, counts, integers), schema, integers)


def _with_missing(values: Float32Array) -> Tensor:
    """Return a table with one more row, of zeros."""
    return pad(torch.from_numpy(values), (0, 0, 0, 1))


class StoredModule(nn.Module):
    """The logit of a factorization machine with tables as they will be stored.

    Attributes:
        sparse: whether gradients of the tables are sparse.
    """

    def __init__(self, model: FMCheckpoint, linear: TrainableTable, embeddings: TrainableTable) -> None:
        """Join the tables of linear weights and of embeddings, and the bias of ``model``."""
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(float(model.bias)))
        self.linear = linear
        self.embeddings = embeddings
        self.sparse = sparse_gradients(model.embeddings.size)
        self._schema, self._link = model.schema, model.link

    def forward(self, active: ActiveRows) -> tuple[Tensor, Tensor]:
        """Return logits, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar."""
        embeddings, linear = (partial(table, sparse=self.sparse) for table in (self.embeddings, self.linear))
        return logits_and_norms(self.bias, embeddings, linear, active)

    def tables(self) -> list[nn.Parameter]:
        """Return the parameters whose gradients may be sparse."""
        return [*self.linear.tables(), *self.embeddings.tables()]

    def others(self) -> list[nn.Parameter]:
        """Return all other parameters: the bias, steps, scales and networks."""
        tables = {id(table) for table in self.tables()}
        return [parameter for parameter in self.parameters() if id(parameter) not in tables]

    def stored(self) -> StoredFM:
        """Return the model as a file holds it."""
        return StoredFM(self._schema, self._link, self.bias.item(), self.linear.stored(), self.embeddings.stored())


def stored_module(model: FMCheckpoint, counts: Int64Array, embeddings: TrainableTable) -> StoredModule:
    """Return a model to be tuned, with its linear weights in int8; ``counts`` are int64 (categories,)."""
    return StoredModule(model, integer_table(model.linear[:, None], model.schema, counts, INT8), embeddings)


@dataclass(eq=False)
class TrainableStored(Trainable[FMCheckpoint]):
    """A factorization machine in tuning; what is kept holds the numbers that are stored.

    Attributes:
        l2: weight of the L2 term.
        targets: what is learned.
        row_numbers: from ids to rows of the tables.
    """

    module: StoredModule
    l2: float
    targets: Targets
    row_numbers: RowNumbers

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return binary cross entropy against the targets with L2, and the former alone; float32 scalars."""
        logits, norms = self.module(self.row_numbers(batch))
        entropy = binary_cross_entropy_with_logits(logits, self.targets(batch))
        return entropy + self.l2 * norms, entropy

    def kept(self) -> FMCheckpoint:
        """Return the model as it is stored, decoded."""
        return self.module.stored().decode()


def begin_tuning_stored(module: StoredModule, trial: Trial, task: Task, steps: int | None = None) -> TrainableStored:
    """Return a stored model that is ready to be tuned in one way, in so many steps or in all epochs."""
    options, source = task.options, task.source
    module = module.to(options.device)
    optimizers = adam(module.tables(), module.others(), trial.lr, sparse=module.sparse)
    steps = steps or options.epochs * -(-task.data.rows.rows // options.batch_size)
    targets = Targets(source, trial.distillation, options.device)
    row_numbers = RowNumbers(source.schema, options.device)
    return TrainableStored(module, optimizers, linear_decay(optimizers, steps), trial.l2, targets, row_numbers)


def tune_stored(begin: Callable[[], StoredModule], key: str, name: str, task: Task) -> BaselinePoint:
    """Return the state that is best on validation data: untuned, or tuned in one of the ways to try.

    Args:
        begin: makes the module to start from.
        key: of the baseline.
        name: of the point.
        task: what is asked for.
    """
    options, rows, valid = task.options, task.data.rows, task.data.valid
    untuned = begin().stored()  # its size does not change in tuning
    model = untuned.decode()
    scores = score_rows(model, valid)
    task.progress.note(f"{name}, untuned: validation {scores}")
    best = Fit(model, scores, 0)
    schedule = Schedule(options.batch_size, options.epochs, None, options.seed)
    for trial in options.trials if options.epochs else ():
        run = begin_tuning_stored(begin(), trial, task)
        title = f"{name}, distillation {trial.distillation:g}, lr {trial.lr:g}, L2 {trial.l2:g}"
        found = fit(run, rows, valid, schedule, title=title, progress=task.progress, start=(model, scores))
        best = max(best, found, key=lambda one: one.scores.selection)
    return BaselinePoint(name, key, untuned.file_bytes, best.model)
