"""Finding how to train a baseline: many ways a short while, the better ones longer, the best one to the end.

Successive halving (Jamieson & Talwalkar, AISTATS 2016); validation data choose.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.baselines.composed import Form
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Chosen, Task, Trial
from fmcompress.baselines.tuning import StoredModule, begin_tuning_stored, stored_module
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.sizes import format_size
from fmcompress.training.loop import Fit, Schedule, fit

_ROUNDS = ((0.1, 3), (0.3, 1))
"""Shares of all steps, and how many ways go on from there."""


@dataclass(frozen=True)
class _Way:
    form: Form
    trial: Trial

    def __str__(self) -> str:
        trial = self.trial
        return f"{self.form.name}, distillation {trial.distillation:g}, lr {trial.lr:g}, L2 {trial.l2:g}"


def best_points(key: str, task: Task, forms: Callable[[int], list[Form]]) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model that is best on validation data; budgets that nothing meets are left out.

    Args:
        key: of the baseline.
        task: what is asked for.
        forms: returns, of a budget in bytes, what can be built within it.
    """
    made: set[str] = set()
    for budget_bytes in task.budgets:
        found = forms(budget_bytes)
        if not found:
            task.progress.note(f"{key}: nothing has {budget_bytes:,} bytes or less")
        elif found[0].name not in made:
            made.add(found[0].name)
            yield _best_point(key, task, found)


def _best_point(key: str, task: Task, forms: Sequence[Form]) -> BaselinePoint:
    chosen = task.options.chosen.get(key)
    ways = [_Way(form, trial) for form in forms for trial in task.options.grid]
    if chosen is not None:
        ways = [_Way(form, chosen.trial) for form in forms if form.variant == chosen.variant] or ways
    for share, keep in _ROUNDS:
        if len(ways) > keep:
            scores = [_trained(way, task, share)[1].scores.selection for way in ways]
            ways = [ways[place] for place in np.argsort(-np.array(scores), kind="stable")[:keep]]
    way = ways[0]
    stored, found = _trained(way, task, 1.0)
    task.progress.note(f"{way}: {format_size(stored.file_bytes)}, validation {found.scores}")
    return BaselinePoint(
        way.form.name, key, stored.file_bytes, found.model, Chosen(way.form.variant, way.trial), stored.paper_params_mib
    )


def _trained(way: _Way, task: Task, share: float) -> tuple[StoredFM, Fit[FMCheckpoint]]:
    """Return the untrained model as it is stored, and the best state of a training with a share of all steps."""
    options, rows = task.options, task.data.rows
    epoch_steps = -(-rows.rows // options.batch_size)
    steps = max(1, round(share * options.epochs * epoch_steps))
    schedule = Schedule(options.batch_size, -(-steps // epoch_steps), None, options.seed, steps)
    module = begin(way.form, task)
    stored = module.stored()
    run = begin_tuning_stored(module, way.trial, task, steps)
    return stored, fit(run, rows, task.data.valid, schedule, title=str(way), progress=task.progress)


def begin(form: Form, task: Task) -> StoredModule:
    """Return a model in a form, with linear weights of the source and new embeddings."""
    return stored_module(task.source, task.counts, form.begin())
