"""Tuning a factorization machine that is stored in integers or pruned, by distillation or on labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import LRScheduler

from fmcompress.backbones.fm_module import RowNumbers
from fmcompress.baselines.model import StoredModule
from fmcompress.baselines.options import Trial
from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.task import Task
from fmcompress.data.batch import Batch
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.objective import Targets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.training.loop import Fit, Schedule, fit
from fmcompress.training.trainable import Trainable, adam, linear_decay


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


@dataclass(eq=False)
class TrainableStored(Trainable[FMCheckpoint]):
    """A factorization machine in tuning; what is kept holds the numbers that are stored.

    Attributes:
        l2: weight of the L2 term.
        targets: what is learned.
        row_numbers: from ids to rows of the tables.
    """

    module: StoredModule
    optimizers: list[torch.optim.Optimizer]
    schedulers: Sequence[LRScheduler]
    l2: float
    targets: Targets
    row_numbers: RowNumbers

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return binary cross entropy against the targets with L2, and the former alone; float32 scalars."""
        logits, norms = self.module(self.row_numbers(batch.ids))
        entropy = binary_cross_entropy_with_logits(logits, self.targets(batch))
        return entropy + self.l2 * norms, entropy

    def kept(self) -> FMCheckpoint:
        """Return the model as it is stored, decoded."""
        return self.module.stored().decode()


def begin_tuning_stored(module: StoredModule, trial: Trial, task: Task) -> TrainableStored:
    """Return a stored model that is ready to be tuned in one way."""
    options, source = task.options, task.source
    module = module.to(options.device)
    optimizers = adam(module.tables(), module.others(), trial.lr, sparse=module.sparse)
    steps = options.epochs * -(-task.data.rows.rows // options.batch_size)
    targets = Targets(source, trial.distillation, options.device)
    row_numbers = RowNumbers(source.schema, options.device)
    return TrainableStored(module, optimizers, linear_decay(optimizers, steps), trial.l2, targets, row_numbers)
