"""xLightFM's search for the sizes of codebooks (section 3.4.2 and Algorithm 1 of the paper).

Each step has two halves. On a batch of validation rows the architecture's weights α descend the gradient of the loss
with the numbers as they are (first-order DARTS: Eq. 12 with ξ = 0); where the architecture so selected is over the
memory limit, Eq. 14 takes back what larger candidates have gained. On a batch of training rows the numbers descend
the gradient of the loss with α as it is (Eq. 13).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fmcompress.artifact import CompressedFM, Origin, pack_model
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import shuffled
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.losses import loss_by
from fmcompress.finetune.options import MovingOptions, SearchOptions, TuneOptions
from fmcompress.finetune.targets import Targets
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized import QuantizedFM
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.lightfm.latent_sgd import LatentSGD
from fmcompress.methods.xlightfm.gumbel import Architecture, WeightDescent, temperature
from fmcompress.methods.xlightfm.mixed_codebooks import CandidateCodes
from fmcompress.methods.xlightfm.search_space import Choices, SearchSpace
from fmcompress.methods.xlightfm.supernet import SearchModule
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, Stage, adam, fit, linear_decay, sparse_gradients
from fmcompress.training.packed_state import decode_model, encode_model
from fmcompress.training.run_state import Journal
from fmcompress.training.trainable import ResumableRun

STAGE = "search"
"""Name of this stage of a run."""

# Keeps the orders of rows of the two halves apart.
_VALID_SEED = 500_009


@dataclass(frozen=True)
class SearchStart:
    """Where a search starts from.

    Attributes:
        checkpoint: the factorization machine that is compressed.
        counts: rows in which each category is active, int64 (categories,).
        models: it quantized with each candidate in all searched fields.
        space: what is chosen from.
        origin: what the artifact will say of itself.
    """

    checkpoint: FMCheckpoint
    counts: npt.NDArray[np.int64]
    models: Sequence[QuantizedFM]
    space: SearchSpace
    origin: Origin


def search(
    start: SearchStart,
    rows: Rows,
    valid: Rows,
    options: SearchOptions,
    *,
    tuning: TuneOptions,
    progress: Progress = SILENT,
    journal: Journal | None = None,
) -> Choices:
    """Return the architecture that the search likes best within the budget, int64 (searched fields, subspaces).

    Args:
        start: where to start from.
        rows: training data.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
        progress: told of each epoch.
        journal: keeps the state and the history of the run; a search that it knows to be done is not repeated.

    Raises:
        DataError: the rows cannot be used.
        OutputError: the journal cannot be written.
        StateError: the journal's state is of another model.
    """
    journal = journal or Journal()
    done = journal.result(STAGE)
    if done is None:
        run = SearchRun(start, valid, options, tuning)
        epochs = -(-options.steps * tuning.batch_size // rows.rows)
        schedule = Schedule(tuning.batch_size, epochs, None, tuning.seed, steps=options.steps)
        fit(run, rows, valid, schedule, title=STAGE, progress=progress, journal=Stage(journal, STAGE, run))
        chosen = run.architecture.most_probable()
        names = [start.checkpoint.schema.names[column] for column in start.space.columns]
        done = {
            "choices": chosen.tolist(),
            "codewords": dict(zip(names, start.space.codewords(chosen), strict=True)),
            "bytes": start.space.file_bytes(chosen),
        }
        journal.finish(STAGE, done)
    return np.array(done["choices"], dtype=np.int64).reshape(start.space.smallest.shape)


class SearchRun(ResumableRun[CompressedFM]):
    """A search in progress.

    Attributes:
        architecture: the weights α.
    """

    module: torch.nn.ModuleDict

    def __init__(
        self,
        start: SearchStart,
        valid: Rows,
        options: SearchOptions,
        tuning: TuneOptions,
    ) -> None:
        """Start with equal weights.

        Args:
            start: where to start from.
            valid: validation data.
            options: how to search.
            tuning: how codes move, batch size, share of distillation, seed and device.
        """
        moving = tuning.moving or MovingOptions()
        self._start = start
        self._device = tuning.device
        self._distance_weight = moving.distance_weight
        self._targets = Targets(start.checkpoint, tuning.distillation, tuning.device)
        self._inputs = InputsOf(Tiers.none(start.checkpoint.schema), start.checkpoint.numeric, tuning.device)
        self._loss = loss_by(start.checkpoint.link_function)
        self._valid_batches = _Endless(valid, tuning.batch_size, tuning.seed + _VALID_SEED)
        self._steps = 0
        model = start.models[0]
        sparse = sparse_gradients(start.checkpoint.embeddings.size)
        codes = CandidateCodes(
            start.models,
            start.space.columns,
            embeddings=start.checkpoint.schema.split(start.checkpoint.embeddings),
            counts=start.checkpoint.schema.split(start.counts),
            options=moving,
        )
        self._net = SearchModule(model, codes, columns=start.space.columns, sparse=sparse)
        self.architecture = Architecture(start.space, options.scope, tuning.seed)
        self.module = torch.nn.ModuleDict({"net": self._net, "architecture": self.architecture}).to(tuning.device)
        self._descent = WeightDescent(self.architecture.weights, options.alpha_lr)
        self.optimizers = [
            *adam(self._net.tables(), self._net.others(), options.lr, sparse=sparse),
            LatentSGD(codes.latents, codes.choosers[0], moving.latent_lr),
        ]
        self.schedulers = linear_decay(self.optimizers, options.steps)

    def step(self, batch: Batch) -> Tensor:
        """Move the architecture on a batch of validation rows, then the numbers on ``batch``."""
        self._move_architecture(next(self._valid_batches))
        self._net.codes.mixture = self.architecture.sample(temperature(self._steps)).detach()
        entropy = super().step(batch)
        self._steps += 1
        return entropy

    def _move_architecture(self, batch: Batch) -> None:
        """Step along the gradient of the loss on held-out labels, then keep to the memory limit."""
        weights = self.architecture.weights
        self._net.eval()  # codes are chosen, but not kept: these rows are not for training
        self._net.codes.mixture = self.architecture.sample(temperature(self._steps))
        labels = torch.from_numpy(batch.labels).to(self._device)
        entropy = self._loss(self._logits(batch), labels)
        self._net.train()
        # The derivative of the Gumbel-softmax has a factor 1/τ. Without it the draws, colder and colder, would add more
        # and more noise to what the weights have learnt; so the weights settle as they get cold.
        weights.grad = temperature(self._steps) * torch.autograd.grad(entropy, [weights])[0]
        before = weights.detach().clone()
        self._descent.step()
        self.architecture.hold(before)

    def _logits(self, batch: Batch) -> Tensor:
        return cast("Tensor", self._net(self._inputs(batch)))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return F_α (Eq. 13) with the last draw of the architecture, and of it the loss against the targets."""
        entropy = self._loss(self._logits(batch), self._targets(batch))
        return entropy + self._distance_weight * self._net.codes.distance, entropy

    def state(self) -> CompressedFM:
        """Return the packed model of the architecture that is selected now."""
        choices = self.architecture.choices()
        quantizers = self._start.space.quantizers(choices)
        model = self._start.models[0]
        fields = [
            replace(field, quantizer=quantizer) for field, quantizer in zip(model.fields, quantizers, strict=True)
        ]
        return pack_model(self._net.store(replace(model, fields=tuple(fields)), choices), self._start.origin)

    def figures(self) -> dict[str, Any]:
        """Return τ, and the selected architecture with its bytes."""
        choices = self.architecture.choices()
        return {
            "tau": round(temperature(self._steps), 6),
            "selected_bytes": self._start.space.file_bytes(choices),
            "codewords": self._start.space.codewords(choices),
        }

    def memory(self) -> dict[str, Any]:
        """Return all that the next step reads."""
        return {
            **super().memory(),
            "descent": self._descent.state_dict(),
            "steps": self._steps,
            "valid_batches": self._valid_batches.taken,
        }

    def recall(self, memory: dict[str, Any]) -> None:
        """Go on from what ``memory`` returned."""
        super().recall(memory)
        self._descent.load_state_dict(memory["descent"])
        self._steps = memory["steps"]
        self._valid_batches.skip_to(memory["valid_batches"])

    def encode(self, state: CompressedFM) -> dict[str, Any]:
        """Return a kept state for the state file."""
        return encode_model(state)

    def decode(self, encoded: dict[str, Any]) -> CompressedFM:
        """Return the kept state."""
        return decode_model(encoded, self._start.models[0], self._start.origin)


class _Endless:
    """Batches of shuffled rows, pass after pass.

    Attributes:
        taken: number of batches taken so far.
    """

    def __init__(self, rows: Rows, batch_size: int, seed: int) -> None:
        self._rows, self._batch_size, self._seed = rows, batch_size, seed
        self._per_pass = -(-rows.rows // batch_size)
        self.skip_to(0)

    def skip_to(self, taken: int) -> None:
        """Go on as if so many batches had been taken."""
        self.taken = taken
        self._batches = self._pass()

    def _pass(self) -> Iterator[Batch]:
        number, done = divmod(self.taken, self._per_pass)
        batches = shuffled(self._rows, self._batch_size, seed=self._seed * 1_000_003 + number)
        return islice(batches, done, None)

    def __next__(self) -> Batch:
        batch = next(self._batches, None)
        if batch is None:
            self._batches = self._pass()
            batch = next(self._batches)
        self.taken += 1
        return batch
