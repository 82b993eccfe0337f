"""Tuning a factorization machine that is stored in integers or pruned, by distillation or on labels."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.backbones.fm_module import RowNumbers
from fmcompress.baselines.model import StoredModule
from fmcompress.baselines.options import Trial
from fmcompress.baselines.point import BaselinePoint
from fmcompress.baselines.task import Task
from fmcompress.data.batch import Batch
from fmcompress.evaluation.scores import score_rows
from fmcompress.finetune.targets import Targets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.training.loop import Fit, Run, Schedule, adam, fit, linear_decay


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
        run = StoredRun(begin(), trial, task)
        title = f"{name}, distillation {trial.distillation:g}, lr {trial.lr:g}, L2 {trial.l2:g}"
        found = fit(run, rows, valid, schedule, title=title, progress=task.progress, start=(model, scores))
        best = max(best, found, key=lambda one: one.scores.selection)
    return BaselinePoint(name, key, untuned.file_bytes, best.state)


class StoredRun(Run[FMCheckpoint]):
    """A factorization machine in tuning; its states hold the numbers that are stored."""

    module: StoredModule

    def __init__(self, module: StoredModule, trial: Trial, task: Task) -> None:
        """Start from the numbers of ``module``.

        Args:
            module: the model to start from.
            trial: how to tune it.
            task: with the factorization machine whose predictions are learned, and the length of the tuning.
        """
        options = task.options
        self.module = module.to(options.device)
        self._l2 = trial.l2
        self._targets = Targets(task.source, trial.distillation, options.device)
        self._rows = RowNumbers(task.source.schema, options.device)
        self.optimizers = adam(module.tables(), module.others(), trial.lr, sparse=module.sparse)
        steps = options.epochs * -(-task.data.rows.rows // options.batch_size)
        self.schedulers = linear_decay(self.optimizers, steps)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return binary cross entropy against the targets with L2, and the former alone."""
        logits, norms = self.module(self._rows(batch.ids))
        entropy = binary_cross_entropy_with_logits(logits, self._targets(batch))
        return entropy + self._l2 * norms, entropy

    def state(self) -> FMCheckpoint:
        """Return the model as it is stored, decoded."""
        return self.module.stored().decode()
