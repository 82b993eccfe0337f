"""Finding how to train a baseline: many ways a short while, the better ones longer, the best one to the end.

Successive halving (Jamieson & Talwalkar, AISTATS 2016); validation data choose.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fmcompress.baselines.composed import Form
from fmcompress.baselines.stored import StoredFM
from fmcompress.baselines.task import BaselinePoint, Chosen, Task, Trial
from fmcompress.baselines.tuning import begin_tuning_stored
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import score_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.sizes import format_size
from fmcompress.training.loop import Fit, Schedule, fit

_ROUNDS = ((0.1, 2), (0.3, 1))
"""Shares of all steps, and how many ways go on from there."""
_SCREEN = Trial(distillation=1.0, lr=1e-2, l2=1e-3)


@dataclass(frozen=True)
class _Way:
    form: Form
    trial: Trial

    def __str__(self) -> str:
        trial = self.trial
        return f"{self.form.name}, distillation {trial.distillation:g}, lr {trial.lr:g}, L2 {trial.l2:g}"


def best_points(
    key: str, task: Task, forms: Callable[[int], list[Form]], *, screened: bool = False
) -> Iterator[BaselinePoint]:
    """Yield, for each budget, the model that is best on validation data; budgets that nothing meets are left out.

    Args:
        key: of the baseline.
        task: what is asked for.
        forms: returns, of a budget in bytes, what can be built within it.
        screened: whether one short training each says which form is the best, where all of them learn alike; else
            each is trained to the end.
    """
    made: set[tuple[str, ...]] = set()
    for budget_bytes in task.budgets:
        found = forms(budget_bytes)
        if not found:
            task.progress.note(f"{key}: nothing has {budget_bytes:,} bytes or less")
        elif (names := tuple(form.name for form in found)) not in made:
            made.add(names)
            yield _best_point(key, task, found, screened=screened)


def _best_point(key: str, task: Task, forms: Sequence[Form], *, screened: bool) -> BaselinePoint:
    """Return the best of all forms, each trained to the end: short trainings favour forms that learn fast."""
    grid, chosen = task.options.grid, task.options.chosen.get(key)
    if chosen is not None:
        grid, variants = (chosen.trial,), [form.variant for form in forms]
        if chosen.variant not in variants:
            raise UsageError(f"variant of {key} is {chosen.variant!r}, expected {' or '.join(map(repr, variants))}")
        forms = [form for form in forms if form.variant == chosen.variant]
    if screened and len(forms) > 1 and task.options.epochs:
        ways = [_Way(form, _SCREEN) for form in forms]
        scores = [_trained(way, task, _ROUNDS[0][0])[1].scores.selection for way in ways]
        forms = [forms[int(np.argmax(scores))]]
    found = [_best_of([_Way(form, trial) for trial in grid], task) for form in forms]
    way, stored, best = max(found, key=lambda one: one[2].scores.selection)
    name, setting = way.form.name, Chosen(way.form.variant, way.trial)
    return BaselinePoint(name, key, stored.file_bytes, best.model, setting, stored.paper_params_mib)


def _best_of(ways: Sequence[_Way], task: Task) -> tuple[_Way, StoredFM, Fit[FMCheckpoint]]:
    """Return the way that stays to the end, the untrained model as it is stored, and its best state."""
    for share, keep in _ROUNDS if task.options.epochs else ():
        if len(ways) > keep:
            scores = [_trained(way, task, share)[1].scores.selection for way in ways]
            ways = [ways[place] for place in np.argsort(-np.array(scores), kind="stable")[:keep]]
    stored, found = _trained(ways[0], task, 1.0)
    task.progress.note(f"{ways[0]}: {format_size(stored.file_bytes)}, validation {found.scores}")
    return ways[0], stored, found


def _trained(way: _Way, task: Task, share: float) -> tuple[StoredFM, Fit[FMCheckpoint]]:
    """Return the untrained model as it is stored, whose size does not change, and the best state of a training.

    The training has a share of all steps.
    """
    options, rows = task.options, task.data.rows
    epoch_steps = -(-rows.rows // options.batch_size)
    steps = max(1, round(share * options.epochs * epoch_steps))
    schedule = Schedule(options.batch_size, -(-steps // epoch_steps), None, options.seed, steps)
    module = way.form.begin()
    stored = module.stored()
    if not options.epochs:
        model = stored.decode()
        return stored, Fit(model, score_rows(model, task.data.valid), 0)
    start = None
    if share == 1:  # where nothing is better, the untrained model stays
        model = stored.decode()
        start = model, score_rows(model, task.data.valid)
    run = begin_tuning_stored(module, way.trial, task, steps)
    return stored, fit(run, rows, task.data.valid, schedule, title=str(way), progress=task.progress, start=start)
