"""Tuning: codebooks, raw rows, linear part and bias are trained end to end, with codes that change or stand still."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from fmcompress.artifact import PackedFM, pack_model, unpack_model
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.evaluation.scores import Scores, score_rows
from fmcompress.finetune.calibrating import calibrated_model
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.layers import EmbeddingLayer, FixedCodes
from fmcompress.finetune.module_scorer import predictor_at_work
from fmcompress.finetune.objective import Loss, Targets, loss_by
from fmcompress.finetune.options import TuneOptions
from fmcompress.finetune.quantized_module import QuantizedModule, embedding_layers
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.predictor import Predictor
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.rescaling import Calibration, can_be_rescaled, rescaled_quantized
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Fit, Schedule, fit
from fmcompress.training.run_state import RunState
from fmcompress.training.trainable import PackedTrainable, adam, linear_decay, sparse_gradients

PHASE = "tuning"
"""Name of this phase of a run."""


class CodeUpdate:
    """What becomes of codes in tuning; these stand still."""

    def layer(self, model: QuantizedFM, columns: list[int]) -> EmbeddingLayer:
        """Return the layer of the fields in some columns, coded in the same number of subspaces."""
        return FixedCodes(model, columns)

    def optimizers(self, module: QuantizedModule) -> list[Optimizer]:
        """Return what trains the parameters that layers of this kind have beside their tables."""
        return []

    def penalty(self, module: QuantizedModule) -> Tensor | float:
        """Return what the codes add to the loss of the last batch, a float32 scalar."""
        return 0.0

    def begin_epoch(
        self, module: QuantizedModule, model: QuantizedFM, targets: Targets, epoch: int, epochs: int
    ) -> None:
        """Change codes before an epoch.

        Args:
            module: the numbers and codes as they are now.
            model: the model that they belong to.
            targets: what the model is to predict.
            epoch: the epoch that begins, from 1.
            epochs: how many there are.
        """

    def admissible(self, model: PackedFM) -> bool:
        """Return whether a model may be chosen: codes that are entropy coded may have made it too large."""
        return True


def tune(
    model: PackedFM,
    rows: Rows,
    valid: Rows,
    *,
    teacher: FMCheckpoint,
    start: Scores,
    options: TuneOptions,
    codes: CodeUpdate | None = None,
    progress: Progress = SILENT,
    run_state: RunState | None = None,
) -> Fit[PackedFM]:
    """Tune a compressed factorization machine; its size stays as it is.

    Args:
        model: the model to start from.
        rows: training data.
        valid: validation data, which choose the model that is returned.
        teacher: the factorization machine that was compressed, in the coordinates of the codebooks.
        start: scores of ``model`` on the validation data; what is returned is not worse.
        options: how to tune.
        codes: what becomes of codes; None lets them stand still.
        progress: told of each epoch.
        run_state: keeps the state and the history of the run.

    Raises:
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state is of another model.
    """
    if options.calibrate:
        model, start = calibrated_model(model, start, lambda own: score_rows(own, valid, predictor_at_work(own)))
    if options.epochs == 0:
        return Fit(model, start, 0)
    steps = options.epochs * -(-rows.rows // options.batch_size)
    schedule = Schedule(
        options.batch_size, options.epochs, None, options.seed, calibrate=options.calibrate, select=options.select
    )
    begun = begin_tuning(model, teacher, options, codes, steps=steps)
    return fit(begun, rows, valid, schedule, title=PHASE, progress=progress, start=(model, start), run_state=run_state)


@dataclass(eq=False)
class TunedModel(PackedTrainable):
    """A compressed factorization machine in tuning; see ``begin_tuning``.

    Attributes:
        codes: what becomes of codes.
        inputs: from batches to what the module takes.
        targets: what is learned.
        loss_of: the loss of logits against targets.
    """

    module: QuantizedModule
    codes: CodeUpdate
    inputs: InputsOf
    targets: Targets
    loss_of: Loss

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is minimised (Eq. 5), and of it the loss against the targets; float32 scalars."""
        entropy = self.loss_of(self.module(self.inputs(batch)), self.targets(batch)) * batch.weight
        return entropy + self.codes.penalty(self.module), entropy

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Let codes change."""
        self.codes.begin_epoch(self.module, self.like, self.targets, epoch, epochs)

    def admissible(self, kept: PackedFM) -> bool:
        """Return whether a packed model is within its budget."""
        return self.codes.admissible(kept)

    def kept(self) -> PackedFM:
        """Return the packed model."""
        return pack_model(self.module.store(self.like), self.origin)

    def rescaled(self, kept: PackedFM, by: Calibration) -> PackedFM | None:
        """Return the packed model with logits a · z + b, of numbers that are rounded once; None where none has them."""
        model = self.module.store(self.like)
        if not can_be_rescaled(model.network):
            return None
        return pack_model(rescaled_quantized(model, by.scale, by.offset), self.origin)

    def scorer(self, kept: PackedFM) -> Predictor:
        """Return what scores validation rows with a packed model."""
        return predictor_at_work(kept)


def begin_tuning(
    model: PackedFM, teacher: FMCheckpoint, options: TuneOptions, codes: CodeUpdate | None = None, *, steps: int
) -> TunedModel:
    """Return a model that is ready to be tuned.

    Args:
        model: the model to start from.
        teacher: the factorization machine that was compressed.
        options: how to tune.
        codes: what becomes of codes; None lets them stand still.
        steps: number of steps, after which the learning rate is 0.
    """
    codes = codes or CodeUpdate()
    quantized = unpack_model(model)
    sparse = sparse_gradients(model.values.size)
    layers = embedding_layers(quantized, codes.layer, sparse=sparse)
    module = QuantizedModule(quantized, sparse=sparse, layers=layers).to(options.device)
    of_numbers = adam(module.tables(), module.others(), options.lr, sparse=sparse, dense=module.dense())
    optimizers = [*of_numbers, *codes.optimizers(module)]
    return TunedModel(
        module=module,
        optimizers=optimizers,
        schedulers=linear_decay(optimizers, steps),
        like=quantized,
        origin=model.header.origin,
        codes=codes,
        inputs=InputsOf(model.tiers, teacher.numeric, options.device),
        targets=Targets(teacher, options.distillation, options.device),
        loss_of=loss_by(teacher.link_function),
    )
