"""Training factorization machines, DeepFMs and NFMs; validation data choose state and setting, and calibrate them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.backbones.network_fm import NetworkFM, new_network
from fmcompress.backbones.setting import Search, Setting
from fmcompress.backbones.vanilla_fm import RowNumbers, VanillaFM
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows, count_categories
from fmcompress.devices.moving import moved
from fmcompress.devices.working import working_on
from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.calibrating import calibration_by
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import KINDS
from fmcompress.fm.rescaling import Calibration, rescaled
from fmcompress.fm.schema import Schema
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.trainable import Trainable, adam, linear_decay, sparse_gradients
from fmcompress.types import Int64Array

BACKBONES = {"fm": "FM"} | {name: kind.title for name, kind in KINDS.items()}
"""What is trained, by name: a factorization machine alone, or with a network on top."""

_START, _START_OF_NETWORKS = Setting(1e-2, 1e-2), Setting(10**-2.5, 10**-2.5)
_NUMBERS = 2
_LR_DECAY = 0.2
_TRIAL_EPOCHS, _TRIAL_STEPS = 4, 200
_FAR_BEHIND = 2
_MOST_HIDDEN = 65_536


@dataclass(frozen=True)
class TrainOptions:
    """How a factorization machine is trained.

    Attributes:
        dim: embedding size l.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²); None finds it on validation data.
        lr: learning rate of Adam, multiplied by 0.2 where validation stands still, twice at most; None finds it on
            validation data.
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better state before the learning rate falls or training ends.
        seed: of the first embeddings and the order of rows.
        device: a torch device.
        backbone: ``fm``, ``deepfm`` or ``nfm``.
        hidden: numbers that each hidden layer of a network returns, after ReLU; none where it is a single layer.
        dropout: share of these numbers that a step leaves out.
        calibrate: whether logits z end as a · z + b, with what is best on validation data.

    Raises:
        UsageError: a number is out of range, there is no such backbone.
    """

    dim: int = 32
    l2: float | None = None
    lr: float | None = None
    batch_size: int = 4096
    epochs: int = 100
    patience: int = 2
    seed: int = 0
    device: str = "cpu"
    backbone: str = "fm"
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.3
    calibrate: bool = True

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise UsageError(f"backbone is {self.backbone!r}, expected {', '.join(BACKBONES)}")
        if not all(1 <= outputs <= _MOST_HIDDEN for outputs in self.hidden):
            raise UsageError(f"hidden layers of {self.hidden} numbers, expected 1 to {_MOST_HIDDEN} each")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout}, expected 0 or more, and less than 1")
        for name in ("dim", "batch_size", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.lr is not None and not 0 < self.lr < 1:
            raise UsageError(f"lr is {self.lr}, expected a number between 0 and 1")
        if self.l2 is not None and not 0 <= self.l2 < float("inf"):
            raise UsageError(f"l2 is {self.l2}, expected 0 or more")


@dataclass(frozen=True)
class TrainedFM:
    """A trained factorization machine.

    Attributes:
        checkpoint: the state that was best on validation data, with category counts.
        scores: its scores on validation data.
        l2: the L2 weight that it was trained with.
        epochs: passes over the data until training ended.
        lr: the learning rate that it was trained with.
        calibration: by what its logits were calibrated.
    """

    checkpoint: FMCheckpoint
    scores: Scores
    l2: float
    epochs: int
    lr: float = math.nan
    calibration: Calibration = field(default_factory=Calibration)


def train(rows: Rows, valid: Rows, options: TrainOptions | None = None, *, progress: Progress = SILENT) -> TrainedFM:
    """Train a factorization machine, and calibrate it.

    Validation data choose its state, the learning rate and the L2 weight where none is given, and what calibrates it.

    Args:
        rows: training data.
        valid: validation data, of the same schema.
        options: how to train.
        progress: told of each epoch.

    Raises:
        UsageError: a field is numeric.
        DataError: the rows cannot be used, or all have the same label.
    """
    options = options or TrainOptions()
    if rows.schema.numeric:
        raise UsageError(
            f"field {rows.schema.numeric[0].name!r} is numeric, training takes categorical fields alone",
            hint="put its values into ranges, and number these from 0 on",
        )
    if len(rows.summary.labels) == 1:
        raise DataError(
            f"all {rows.rows:,} training rows have label {rows.summary.labels[0]:g}, expected 0 and 1: "
            "there is nothing to tell apart"
        )
    with working_on(options.device):
        found = _best_of(rows, valid, options, _settings(rows, valid, options, progress), progress)
        return _calibrated(found, valid) if options.calibrate else found


def _settings(rows: Rows, valid: Rows, options: TrainOptions, progress: Progress) -> list[Setting]:
    """Return the learning rate and the L2 weight that are given, or those that short trainings find."""
    given = {name: getattr(options, name) for name in ("lr", "l2") if getattr(options, name) is not None}
    if len(given) == _NUMBERS:
        return [Setting(**given)]
    epochs = max(_TRIAL_EPOCHS, -(-_TRIAL_STEPS // -(-rows.rows // options.batch_size)))
    short = replace(options, epochs=min(options.epochs, epochs))
    search = Search(lambda setting: _trial(rows, valid, short, setting, progress))
    found = search.find(replace(_start_of(options), **given), lr="lr" not in given, l2="l2" not in given)
    progress.note(f"{found[0]}: the best of {len(search.tried)} short trainings on validation data")
    return found


def _start_of(options: TrainOptions) -> Setting:
    return _START if options.backbone == "fm" else _START_OF_NETWORKS


def _trial(rows: Rows, valid: Rows, options: TrainOptions, setting: Setting, progress: Progress) -> Scores:
    """Return the scores of a training whose learning rate falls to 0 with the steps."""
    training = _Course(rows, valid, options, setting, progress)
    steps = options.epochs * -(-rows.rows // options.batch_size)
    training.begun.schedulers = linear_decay(training.begun.optimizers, steps)
    return training.go_on(options.epochs).scores


def _best_of(
    rows: Rows, valid: Rows, options: TrainOptions, settings: Sequence[Setting], progress: Progress
) -> TrainedFM:
    """Train with the first of some settings, and with others where they are not far behind after as many epochs.

    A rate that has not fallen yet costs some two standard errors of the AUC.
    """
    first, *others = (_Course(rows, valid, options, setting, progress) for setting in settings)
    best = first.go_on(options.epochs)
    for other in others:
        behind = best.scores.selection - other.go_on(best.epochs).scores.selection
        if not behind > _FAR_BEHIND * best.scores.auc_standard_error:
            best = max(best, other.go_on(options.epochs), key=lambda found: found.scores.selection)
    return best


@dataclass
class _Course:
    """A training that can be gone on with."""

    rows: Rows
    valid: Rows
    options: TrainOptions
    setting: Setting
    progress: Progress
    found: TrainedFM | None = None
    over: bool = False

    @cached_property
    def begun(self) -> TrainableFM:
        """The model in training, once it is wanted."""
        return begin_training(self.rows, self.options, self.setting.l2, lr=self.setting.lr)

    def go_on(self, epochs: int) -> TrainedFM:
        """Go on up to so many epochs, or until validation stands still."""
        options, before = self.options, self.found
        done = before.epochs if before else 0
        if before is not None and (self.over or epochs <= done):
            return before
        schedule = Schedule(options.batch_size, epochs - done, options.patience, options.seed + 7919 * done)
        title = f"{BACKBONES[options.backbone]}, {self.setting}" + (f", after {done} epochs" if done else "")
        start = None if before is None else (before.checkpoint, before.scores)
        found = fit(self.begun, self.rows, self.valid, schedule, title=title, progress=self.progress, start=start)
        self.over = found.epochs < schedule.epochs
        self.found = TrainedFM(found.model, found.scores, self.setting.l2, done + found.epochs, self.setting.lr)
        return self.found


def _calibrated(found: TrainedFM, valid: Rows) -> TrainedFM:
    best = calibration_by(found.checkpoint, found.scores)
    if best.identity:
        return found
    checkpoint = rescaled(found.checkpoint, best.scale, best.offset)
    return replace(found, checkpoint=checkpoint, scores=score_rows(checkpoint, valid), calibration=best)


@dataclass(eq=False)
class TrainableFM(Trainable[FMCheckpoint]):
    """A factorization machine in training; see ``begin_training``.

    Attributes:
        schema: the fields.
        counts: training rows in which each category is active, int64 (categories,).
        l2: weight of the L2 term.
        row_numbers: from ids to rows of the tables.
    """

    module: VanillaFM
    schema: Schema
    counts: Int64Array
    l2: float
    row_numbers: RowNumbers

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return binary cross entropy with L2, and the former alone; float32 scalars."""
        logits, norms = self.module(self.row_numbers(batch))
        entropy = binary_cross_entropy_with_logits(logits, moved(batch.labels, logits.device))
        return (entropy + self.l2 * norms) * batch.weight, entropy * batch.weight

    def kept(self) -> FMCheckpoint:
        """Return a copy of the model; categories that were never seen contribute nothing."""
        seen = (self.counts > 0).astype(np.float32)
        embeddings = self.module.embeddings.detach().cpu().numpy()[:-1] * seen[:, None]
        linear = self.module.linear.detach().cpu().numpy()[:-1, 0] * seen
        network = self.module.dense.network() if isinstance(self.module, NetworkFM) else None
        bias = self.module.bias.item()
        return FMCheckpoint(self.schema, bias, linear, embeddings, counts=self.counts, network=network)

    def fall_back(self, kept: FMCheckpoint) -> None:
        """Take up a kept model again, with a fifth of the learning rate."""
        with torch.no_grad():
            self.module.embeddings[:-1] = torch.from_numpy(kept.embeddings)
            self.module.linear[:-1, 0] = torch.from_numpy(kept.linear)
            self.module.bias.fill_(kept.bias)
            if isinstance(self.module, NetworkFM) and kept.network is not None:
                self.module.dense.take_over(kept.network)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] *= _LR_DECAY


def begin_training(rows: Rows, options: TrainOptions, l2: float, *, lr: float | None = None) -> TrainableFM:
    """Return a factorization machine with small random embeddings, ready to be trained.

    Args:
        rows: training data.
        options: how to train.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²).
        lr: learning rate at the start; None takes that of the options.
    """
    counts = count_categories(rows)
    sparse = sparse_gradients(rows.schema.categories * (options.dim + 1))
    generator = torch.Generator().manual_seed(options.seed)
    module = _new_module(rows.schema, options, generator, sparse=sparse).to(options.device)
    tables = [module.embeddings, module.linear]
    others = [parameter for parameter in module.parameters() if all(parameter is not table for table in tables)]
    optimizers = adam(tables, others, lr or options.lr or _start_of(options).lr, sparse=sparse)
    return TrainableFM(module, optimizers, (), rows.schema, counts, l2, RowNumbers(rows.schema, options.device))


def _new_module(schema: Schema, options: TrainOptions, generator: torch.Generator, *, sparse: bool) -> VanillaFM:
    if options.backbone == "fm":
        return VanillaFM(schema.categories, options.dim, sparse=sparse, generator=generator)
    network = new_network(options.backbone, schema, options.dim, options.hidden, generator)
    return NetworkFM(schema.categories, options.dim, network, options.dropout, sparse=sparse, generator=generator)
