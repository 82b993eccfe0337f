"""Training factorization machines, and DeepFMs and NFMs: the state and the L2 weight are chosen on validation data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.backbones.network_fm import NetworkFM, new_network
from fmcompress.backbones.vanilla_fm import RowNumbers, VanillaFM
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows, count_categories
from fmcompress.devices.moving import moved
from fmcompress.devices.working import working_on
from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.network import KINDS
from fmcompress.fm.schema import Schema
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.trainable import Trainable, adam, sparse_gradients
from fmcompress.types import Int64Array

BACKBONES = {"fm": "FM"} | {name: kind.title for name, kind in KINDS.items()}
"""What is trained, by name: a factorization machine alone, or with a network on top."""

_L2_STEPS = tuple(10 ** (exponent / 2) for exponent in range(-10, -1))
_L2_START = 5  # 3.2e-3
_LR_DECAY = 0.2
_LR, _LR_OF_NETWORKS = 1e-3, 3e-3
_MOST_HIDDEN = 65_536


@dataclass(frozen=True)
class TrainOptions:
    """How a factorization machine is trained.

    Attributes:
        dim: embedding size l.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²); None finds it on validation data.
        lr: learning rate of Adam, multiplied by 0.2 where validation stands still, twice at most; None takes 1e-3 for
            a factorization machine, 3e-3 with a network.
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better state before the learning rate falls or training ends.
        seed: of the first embeddings and the order of rows.
        device: a torch device.
        backbone: ``fm``, ``deepfm`` or ``nfm``.
        hidden: numbers that each hidden layer of a network returns, after ReLU; none where it is a single layer.
        dropout: share of these numbers that a step leaves out.

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
    """

    checkpoint: FMCheckpoint
    scores: Scores
    l2: float
    epochs: int


def train(rows: Rows, valid: Rows, options: TrainOptions | None = None, *, progress: Progress = SILENT) -> TrainedFM:
    """Train a factorization machine; validation data choose its state, and its L2 weight where none is given.

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
        if options.l2 is not None:
            return _train(rows, valid, options, options.l2, progress)
        return _climb(lambda l2: _train(rows, valid, options, l2, progress), progress)


def _climb(trial: Callable[[float], TrainedFM], progress: Progress) -> TrainedFM:
    """Walk along the L2 weights, ½ decade a step, as long as validation gets better."""
    best, at = trial(_L2_STEPS[_L2_START]), _L2_START
    for direction in (1, -1):
        while 0 <= at + direction < len(_L2_STEPS):
            found = trial(_L2_STEPS[at + direction])
            if found.scores.selection <= best.scores.selection:
                break
            best, at = found, at + direction
        if at != _L2_START:
            break  # it got better this way: the other way lies behind
    progress.note(f"L2 {best.l2:.1e} is the best on validation data")
    return best


def _train(rows: Rows, valid: Rows, options: TrainOptions, l2: float, progress: Progress) -> TrainedFM:
    schedule = Schedule(options.batch_size, options.epochs, options.patience, options.seed)
    begun = begin_training(rows, options, l2)
    found = fit(
        begun, rows, valid, schedule, title=f"{BACKBONES[options.backbone]} with L2 {l2:.1e}", progress=progress
    )
    return TrainedFM(found.model, found.scores, l2, found.epochs)


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


def begin_training(rows: Rows, options: TrainOptions, l2: float) -> TrainableFM:
    """Return a factorization machine with small random embeddings, ready to be trained.

    Args:
        rows: training data.
        options: how to train.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²).
    """
    counts = count_categories(rows)
    sparse = sparse_gradients(rows.schema.categories * (options.dim + 1))
    generator = torch.Generator().manual_seed(options.seed)
    module = _new_module(rows.schema, options, generator, sparse=sparse).to(options.device)
    tables = [module.embeddings, module.linear]
    others = [parameter for parameter in module.parameters() if all(parameter is not table for table in tables)]
    lr = options.lr or (_LR if options.backbone == "fm" else _LR_OF_NETWORKS)
    optimizers = adam(tables, others, lr, sparse=sparse)
    return TrainableFM(module, optimizers, (), rows.schema, counts, l2, RowNumbers(rows.schema, options.device))


def _new_module(schema: Schema, options: TrainOptions, generator: torch.Generator, *, sparse: bool) -> VanillaFM:
    if options.backbone == "fm":
        return VanillaFM(schema.categories, options.dim, sparse=sparse, generator=generator)
    network = new_network(options.backbone, schema, options.dim, options.hidden, generator)
    return NetworkFM(schema.categories, options.dim, network, options.dropout, sparse=sparse, generator=generator)
