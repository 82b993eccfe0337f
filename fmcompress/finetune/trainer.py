"""Tuning with fixed codes: codebooks, raw rows, linear part and bias are trained end to end.

Minimised is the binary cross entropy against (1 − d)·label + d·p, with p the prediction of the factorization
machine that was compressed and d the share of distillation. Its predictions say more of a row than its label
does, and keep few codewords from learning the training rows by heart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from fmcompress.artifact import CompressedFM, pack_model, unpack_model
from fmcompress.checkpoints.checkpoint import FMCheckpoint
from fmcompress.data import Batch, ParquetRows
from fmcompress.evaluation import Scores
from fmcompress.finetune.model import QuantizedModule
from fmcompress.finetune.options import TuneOptions
from fmcompress.fm.scorer import FMScorer
from fmcompress.journal import Journal
from fmcompress.progress import SILENT, Progress
from fmcompress.training import Fit, ResumableRun, Schedule, Stage, adam, fit, sparse_gradients

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
) -> Fit[CompressedFM]:
    """Tune the numbers of a compressed factorization machine; its codes, and so its size, stay as they are.

    Args:
        model: the model to start from.
        rows: training data.
        valid: validation data, which choose the state that is returned.
        teacher: the factorization machine that was compressed.
        start: scores of ``model`` on the validation data; what is returned is not worse.
        options: how to tune.
        progress: told of each epoch.
        journal: keeps the state and the history of the run.

    Raises:
        DataError: the rows cannot be used.
        OutputError: the journal cannot be written.
        StateError: the journal's state is of another model.
    """
    if options.epochs == 0:
        return Fit(model, start, 0)
    schedule = Schedule(options.batch_size, options.epochs, options.patience, options.seed)
    run = TuneRun(model, teacher, options)
    stage = Stage(journal or Journal(), STAGE, run)
    return fit(run, rows, valid, schedule, title=STAGE, progress=progress, start=(model, start), journal=stage)


class TuneRun(ResumableRun[CompressedFM]):
    """A compressed factorization machine in tuning."""

    module: QuantizedModule

    def __init__(self, model: CompressedFM, teacher: FMCheckpoint, options: TuneOptions) -> None:
        """Start from the numbers of ``model``; ``teacher`` is the factorization machine that was compressed."""
        self._header = model.header
        self._device = options.device
        self._distillation = options.distillation
        self._teacher = FMScorer(teacher)
        self._quantized = unpack_model(model)
        sparse = sparse_gradients(model.values.size)
        self.module = QuantizedModule(self._quantized, sparse=sparse).to(options.device)
        self.optimizers = adam(self.module.tables(), self.module.others(), options.lr, sparse=sparse)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the binary cross entropy against the targets, twice."""
        logits = self.module(torch.from_numpy(batch.ids).long().to(self._device))
        entropy = binary_cross_entropy_with_logits(logits, self._targets(batch).to(self._device))
        return entropy, entropy

    def _targets(self, batch: Batch) -> torch.Tensor:
        labels = torch.from_numpy(batch.labels)
        if self._distillation == 0:
            return labels
        return torch.lerp(labels, torch.from_numpy(self._teacher.predict(batch.ids)), self._distillation)

    def state(self) -> CompressedFM:
        """Return the packed model."""
        return pack_model(self.module.store(self._quantized), self._header.origin)

    def restore(self, state: CompressedFM) -> None:
        """Take up the numbers of a kept model again."""
        self.module.load(unpack_model(state))

    def encode(self, state: CompressedFM) -> dict[str, Any]:
        """Return what tuning changes, and the codes."""
        parts = {name: torch.from_numpy(np.array(getattr(state, name))) for name in ("values", "codes")}
        return {"bias": state.bias, **parts}

    def decode(self, encoded: dict[str, Any]) -> CompressedFM:
        """Return the packed model; its header is that of the model that tuning started from."""
        return CompressedFM(self._header, encoded["bias"], encoded["values"].numpy(), encoded["codes"].numpy())
