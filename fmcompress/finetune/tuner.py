"""Tuning: codebooks, raw rows, linear part and bias are trained end to end, and codes move along or stand still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fmcompress.artifact import CompressedFM, pack_model, unpack_model
from fmcompress.data.batch import Batch, concatenate
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import BUFFER_BYTES, shuffled
from fmcompress.errors import UsageError
from fmcompress.evaluation.scores import Scores
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.layers import FixedCodes
from fmcompress.finetune.losses import loss_by
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.finetune.targets import Targets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.auto.reassignment import Reassigner
from fmcompress.methods.lightfm.latent_sgd import LatentSGD
from fmcompress.methods.lightfm.layers import MovingCodes
from fmcompress.progress import SILENT, Progress
from fmcompress.quantization.sensitivity import Sensitivity
from fmcompress.training.loop import Fit, ResumableRun, Schedule, Stage, adam, fit, linear_decay, sparse_gradients
from fmcompress.training.packed_state import decode_model, encode_model
from fmcompress.training.run_state import Journal

STAGE = "tuning"
"""Name of this stage of a run."""

_SAMPLE_ROWS = 2**20
_CHUNK_ROWS = 65_536


def tune(
    model: CompressedFM,
    rows: Rows,
    valid: Rows,
    *,
    teacher: FMCheckpoint,
    start: Scores,
    options: TuneOptions,
    progress: Progress = SILENT,
    journal: Journal | None = None,
    counts: npt.NDArray[np.int64] | None = None,
    sensitivity: Sensitivity | None = None,
) -> Fit[CompressedFM]:
    """Tune a compressed factorization machine; its size stays as it is.

    Args:
        model: the model to start from.
        rows: training data.
        valid: validation data, which choose the state that is returned.
        teacher: the factorization machine that was compressed, in the coordinates of the codebooks.
        start: scores of ``model`` on the validation data; what is returned is not worse.
        options: how to tune.
        progress: told of each epoch.
        journal: keeps the state and the history of the run.
        counts: rows in which each category is active, int64 (categories,), for codes that move.
        sensitivity: what errors cost, for codes that are chosen anew.

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
    if options.reassign is not None:
        if sensitivity is None:
            raise UsageError("codes are to be chosen anew, but what errors cost is not given")
        run.reassign(Reassigner(teacher, sensitivity, model.tiers, options.reassign), rows, options.reassign.share)
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
        self._distance_weight = 0.0
        self._inputs = InputsOf(model.tiers, teacher.numeric, options.device)
        self._loss = loss_by(teacher.link_function)
        self._targets = Targets(teacher, options.distillation, options.device)
        self._quantized = unpack_model(model)
        self._seed = options.seed
        self._reassigner: Reassigner | None = None
        sparse = sparse_gradients(model.values.size)
        moving = options.moving
        coded = FixedCodes if moving is None else _moving(teacher, counts, model.tiers, moving)
        self.module = QuantizedModule(self._quantized, sparse=sparse, coded=coded).to(options.device)
        self.optimizers = adam(self.module.tables(), self.module.others(), options.lr, sparse=sparse)
        if moving is not None:
            self._distance_weight = moving.distance_weight
            parts = self.module.moving()
            self.optimizers += [LatentSGD(part.latents, part.chooser, moving.latent_lr) for part in parts]
        self.schedulers = linear_decay(self.optimizers, steps)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised (Eq. 5), and of it the loss against the targets."""
        entropy = self._loss(self.module(self._inputs(batch)), self._targets(batch))
        distances = [part.distance for part in self.module.moving()]
        return entropy + self._distance_weight * sum(distances), entropy

    def reassign(self, reassigner: Reassigner, rows: Rows, share: float) -> None:
        """Let codes be chosen anew at the beginning of epochs.

        Args:
            reassigner: chooses them.
            rows: training data.
            share: of the epochs, from the first on, that begin so.
        """
        self._reassigner, self._rows, self._share = reassigner, rows, share

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Choose codes anew, in the first epochs."""
        if self._reassigner is None or epoch > self._share * epochs:
            return
        sample = _sample(self._rows, seed=self._seed * 1_000_003 + epoch)
        targets = np.concatenate([self._targets.of(part) for part in _chunks(sample)])
        self.module.recode(self._reassigner(self.module.store(self._quantized), sample, targets))

    def state(self) -> CompressedFM:
        """Return the packed model."""
        return pack_model(self.module.store(self._quantized), self._origin)

    def encode(self, state: CompressedFM) -> dict[str, Any]:
        """Return a kept state for the state file."""
        return encode_model(state)

    def decode(self, encoded: dict[str, Any]) -> CompressedFM:
        """Return the kept state."""
        return decode_model(encoded, self._quantized, self._origin)


def _sample(rows: Rows, *, seed: int) -> Batch:
    """Return as many rows, in random order, as fit the buffer that shuffles them, a million at most."""
    most = min(_SAMPLE_ROWS, BUFFER_BYTES // (4 * (len(rows.schema.order) + 1)))
    found: list[Batch] = []
    for batch in shuffled(rows, _CHUNK_ROWS, seed=seed):
        found.append(batch)
        if _CHUNK_ROWS * len(found) >= most:
            break
    return concatenate(found)


def _chunks(batch: Batch) -> Iterator[Batch]:
    for first in range(0, len(batch), _CHUNK_ROWS):
        yield batch.take(slice(first, first + _CHUNK_ROWS))


def _moving(
    teacher: FMCheckpoint,
    counts: npt.NDArray[np.int64] | None,
    tiers: Tiers,
    options: MovingOptions,
) -> Callable[[QuantizedFM, list[int]], MovingCodes]:
    """Return what makes the parts with codes that move; their latents start from the teacher's embeddings."""
    seen = np.ones(teacher.schema.categories, dtype=np.int64) if counts is None else counts
    return partial(
        MovingCodes,
        embeddings=tiers.parts.split(teacher.embeddings[tiers.order]),
        counts=tiers.parts.split(seen[tiers.order]),
        options=options,
    )
