"""The vanilla factorization machine and its training: the yardstick of every compressed one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows, count_categories
from fmcompress.errors import DataError, UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.schema import Schema
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.pooled_values import PooledValues, pooled_values
from fmcompress.training.trainable import Trainable, adam, sparse_gradients
from fmcompress.types import Int64Array

_INITIAL_STD = 0.01
_L2_STEPS = tuple(10 ** (exponent / 2) for exponent in range(-10, -1))
_L2_START = 5  # 3.2e-3
_LR_DECAY = 0.2


@dataclass(frozen=True)
class ActiveRows:
    """The rows of tables, which hold all fields, that a batch looks up.

    Attributes:
        rows: of each field, the row after the last where a value is missing, int64 (rows, fields).
        values: of each value of fields with several in a row, int64 (values, 1); None where there are no such fields.
        bags: how these are pooled.
    """

    rows: Tensor
    values: Tensor | None = None
    bags: PooledValues | None = None


class RowNumbers:
    """Turns ids, counted from 0 in each field, into rows of tables that hold all fields."""

    def __init__(self, schema: Schema, device: torch.device | str = "cpu") -> None:
        """Keep the first row of each field; ``missing`` is the row after the last."""
        self.missing = schema.categories
        self._schema = schema
        self._device = device
        self._offsets = schema.id_offsets

    def __call__(self, batch: Batch) -> ActiveRows:
        """Return the rows of a batch; missing values get the row ``missing``."""
        rows = batch.ids + self._offsets
        absent = batch.ids < 0
        if absent.any():
            rows[absent] = self.missing
        active = torch.from_numpy(rows).to(self._device)
        if not batch.bags:
            return ActiveRows(active)
        ids, tables, pooled = pooled_values(batch.bags, self._schema, self._device)
        values = torch.from_numpy(ids + self._schema.offsets[tables])[:, None]
        return ActiveRows(active, values.to(self._device), pooled)


class VanillaFM(nn.Module):
    """A factorization machine in training.

        logit = w_0 + Σ_i w_i + ½ (‖Σ_i v_i‖² − Σ_i ‖v_i‖²)

    The linear part starts at zero: a category that is never seen must not contribute. One more row, of
    zeros, stands for missing values.
    """

    def __init__(self, categories: int, dim: int, *, sparse: bool, generator: torch.Generator) -> None:
        """Draw small embeddings.

        Args:
            categories: categories of all fields.
            dim: embedding size l.
            sparse: whether gradients are sparse, for tables of which a batch touches a small part.
            generator: draws the embeddings.
        """
        super().__init__()
        embeddings = torch.randn(categories + 1, dim, generator=generator) * _INITIAL_STD
        embeddings[categories] = 0
        self.embeddings = nn.Parameter(embeddings)
        self.linear = nn.Parameter(torch.zeros(categories + 1, 1))
        self.bias = nn.Parameter(torch.zeros(()))
        self.sparse = sparse

    def forward(self, active: ActiveRows) -> tuple[Tensor, Tensor]:
        """Return logits (rows,) and the L2 term, a scalar; see ``logits_and_norms``."""
        return logits_and_norms(self.bias, self._embeddings_of, self._linear_of, active)

    def _embeddings_of(self, rows: Tensor) -> Tensor:
        return embedding(rows, self.embeddings, padding_idx=len(self.linear) - 1, sparse=self.sparse)

    def _linear_of(self, rows: Tensor) -> Tensor:
        return embedding(rows, self.linear, padding_idx=len(self.linear) - 1, sparse=self.sparse)


def logits_and_norms(
    bias: Tensor, embeddings: Callable[[Tensor], Tensor], linear: Callable[[Tensor], Tensor], active: ActiveRows
) -> tuple[Tensor, Tensor]:
    """Return logits, float32 (rows,), and the mean over rows of Σ_i (‖v_i‖² + w_i²), a scalar.

    Of a field with several values in a row the norms count as often as the embeddings and the linear weights do.

    Args:
        bias: w_0, a float32 scalar.
        embeddings: from rows, int64 (n, fields), to embeddings, float32 (n, fields, dim).
        linear: from rows, int64 (n, fields), to linear weights, float32 (n, fields, 1).
        active: the rows.
    """
    vectors, weights = embeddings(active.rows), linear(active.rows)
    sums, scalars = vectors.sum(dim=1), weights.sum(dim=(1, 2))
    norms = (vectors * vectors).sum(dim=(1, 2))
    penalty = norms.mean() + (weights * weights).sum(dim=(1, 2)).mean()
    scalars = bias + scalars - 0.5 * norms
    if active.values is not None and active.bags is not None:
        bags, vectors, weights = active.bags, embeddings(active.values)[:, 0], linear(active.values)[:, 0, 0]
        norms = (vectors * vectors).sum(dim=1)
        more_sums, more_scalars = bags.add(vectors, -0.5 * norms, weights)
        sums, scalars = sums + more_sums, scalars + more_scalars
        penalty = penalty + (bags.embedding.abs() @ norms + bags.linear.abs() @ weights**2) / len(sums)
    return scalars + 0.5 * (sums * sums).sum(dim=1), penalty


@dataclass(frozen=True)
class TrainOptions:
    """How a factorization machine is trained.

    Attributes:
        dim: embedding size l.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²); None finds it on validation data.
        lr: learning rate of Adam, multiplied by 0.2 where validation stands still, twice at most.
        batch_size: rows of a step.
        epochs: passes over the data at most.
        patience: epochs without a better state before the learning rate falls or training ends.
        seed: of the first embeddings and the order of rows.
        device: a torch device.
    """

    dim: int = 32
    l2: float | None = None
    lr: float = 1e-3
    batch_size: int = 4096
    epochs: int = 100
    patience: int = 2
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in ("dim", "batch_size", "epochs", "patience"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if not 0 < self.lr < 1:
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
    found = fit(begun, rows, valid, schedule, title=f"FM with L2 {l2:.1e}", progress=progress)
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
        entropy = binary_cross_entropy_with_logits(logits, torch.from_numpy(batch.labels).to(logits.device))
        return entropy + self.l2 * norms, entropy

    def kept(self) -> FMCheckpoint:
        """Return a copy of the model; categories that were never seen contribute nothing."""
        seen = (self.counts > 0).astype(np.float32)
        embeddings = self.module.embeddings.detach().cpu().numpy()[:-1] * seen[:, None]
        linear = self.module.linear.detach().cpu().numpy()[:-1, 0] * seen
        return FMCheckpoint(self.schema, self.module.bias.item(), linear, embeddings, counts=self.counts)

    def fall_back(self, kept: FMCheckpoint) -> None:
        """Take up a kept model again, with a fifth of the learning rate."""
        with torch.no_grad():
            self.module.embeddings[:-1] = torch.from_numpy(kept.embeddings)
            self.module.linear[:-1, 0] = torch.from_numpy(kept.linear)
            self.module.bias.fill_(kept.bias)
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
    module = VanillaFM(rows.schema.categories, options.dim, sparse=sparse, generator=generator).to(options.device)
    optimizers = adam([module.embeddings, module.linear], [module.bias], options.lr, sparse=sparse)
    return TrainableFM(module, optimizers, (), rows.schema, counts, l2, RowNumbers(rows.schema, options.device))
