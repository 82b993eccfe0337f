"""Tuning: codebooks, raw rows, linear part and bias are trained end to end, and codes move along or stand still."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.artifact import CompressedFM, pack_model, unpack_model
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.data import Batch, ParquetRows
from fmcompress.evaluation import Scores
from fmcompress.finetune.encoding import decode_model, encode_model
from fmcompress.finetune.latent_sgd import LatentSGD
from fmcompress.finetune.model import QuantizedModule
from fmcompress.finetune.moving import MovingCodes
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.parts import FixedCodes
from fmcompress.finetune.targets import Targets
from fmcompress.journal import Journal
from fmcompress.progress import SILENT, Progress
from fmcompress.quantized import QuantizedFM
from fmcompress.training import Fit, ResumableRun, Schedule, Stage, adam, fit, linear_decay, sparse_gradients

STAGE = "tuning"
"""Name of this stage of a run."""


def tune(
    model: CompressedFM,
    rows: ParquetRows,
    valid: ParquetRows,
    *,
    teacher: FMCheckpoint,
    start: Scores,
    options: TuneOptions,
    progress: Progress = SILENT,
    journal: Journal | None = None,
    counts: npt.NDArray[np.int64] | None = None,
) -> Fit[CompressedFM]:
    """Tune a compressed factorization machine; its size stays as it is.

    Args:
        model: the model to start from.
        rows: training data.
        valid: validation data, which choose the state that is returned.
        teacher: the factorization machine that was compressed.
        start: scores of ``model`` on the validation data; what is returned is not worse.
        options: how to tune.
        progress: told of each epoch.
        journal: keeps the state and the history of the run.
        counts: rows in which each category is active, int64 (categories,), for codes that move.

    Raises:
        DataError: the rows cannot be used.
        OutputError: the journal cannot be written.
        StateError: the journal's state is of another model.
    """
    if options.epochs == 0:
        return Fit(model, start, 0)
    steps = options.epochs * -(-rows.rows // options.batch_size)
    schedule = Schedule(options.batch_size, options.epochs, None, options.seed)
    run = TuneRun(model, teacher, options, steps=steps, counts=counts)
    stage = Stage(journal or Journal(), STAGE, run)
    return fit(run, rows, valid, schedule, title=STAGE, progress=progress, start=(model, start), journal=stage)


class TuneRun(ResumableRun[CompressedFM]):
    """A compressed factorization machine in tuning."""

    module: QuantizedModule

    def __init__(
        self,
        model: CompressedFM,
        teacher: FMCheckpoint,
        options: TuneOptions,
        *,
        steps: int,
        counts: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Start from the numbers of ``model``.

        Args:
            model: the model to start from.
            teacher: the factorization machine that was compressed.
            options: how to tune.
            steps: number of steps, after which the learning rate is 0.
            counts: rows in which each category is active, int64 (categories,), for codes that move.
        """
        self._origin = model.header.origin
        self._device = options.device
        self._distance_weight = 0.0
        self._targets = Targets(teacher, options.distillation, options.device)
        self._quantized = unpack_model(model)
        sparse = sparse_gradients(model.values.size)
        moving = options.moving
        coded = FixedCodes if moving is None else _moving(teacher, counts, moving)
        self.module = QuantizedModule(self._quantized, sparse=sparse, coded=coded).to(options.device)
        self.optimizers = adam(self.module.tables(), self.module.others(), options.lr, sparse=sparse)
        if moving is not None:
            self._distance_weight = moving.distance_weight
            parts = self.module.moving()
            self.optimizers += [LatentSGD(part.latents, part.chooser, moving.latent_lr) for part in parts]
        self.schedulers = linear_decay(self.optimizers, steps)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised (Eq. 5), and of it the binary cross entropy against the targets."""
        logits = self.module(torch.from_numpy(batch.ids).long().to(self._device))
        entropy = binary_cross_entropy_with_logits(logits, self._targets(batch))
        distances = [part.distance for part in self.module.moving()]
        return entropy + self._distance_weight * sum(distances), entropy

    def state(self) -> CompressedFM:
        """Return the packed model."""
        return pack_model(self.module.store(self._quantized), self._origin)

    def encode(self, state: CompressedFM) -> dict[str, Any]:
        """Return a kept state for the state file."""
        return encode_model(state)

    def decode(self, encoded: dict[str, Any]) -> CompressedFM:
        """Return the kept state."""
        return decode_model(encoded, self._quantized, self._origin)


def _moving(
    teacher: FMCheckpoint,
    counts: npt.NDArray[np.int64] | None,
    options: MovingOptions,
) -> Callable[[QuantizedFM, list[int]], MovingCodes]:
    """Return what makes the parts with codes that move; their latents start from the teacher's embeddings."""
    seen = np.ones(teacher.schema.categories, dtype=np.int64) if counts is None else counts
    return partial(
        MovingCodes,
        embeddings=teacher.schema.split(teacher.embeddings),
        counts=teacher.schema.split(seen),
        options=options,
    )
