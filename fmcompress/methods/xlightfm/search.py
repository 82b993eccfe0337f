"""xLightFM's search for the sizes of codebooks (section 3.4.2 and Algorithm 1 of the paper).

Each step has two halves, with θ the numbers, codebooks and latents, and F_α the loss with its distance loss:

    α ← α − η ∇_α L_valid(θ, α)      on a batch of validation rows       (12, first-order DARTS: ξ = 0)
    θ ← θ − η ∇_θ F_α(θ)             on a batch of training rows         (13)

Where the architecture that α selects is over the memory limit, Eq. 14 takes back what larger candidates have gained.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from fmcompress.artifact import PackedFM, pack_model
from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.data.shuffle import shuffled
from fmcompress.finetune.inputs import InputsOf
from fmcompress.finetune.layers import RawRows
from fmcompress.finetune.objective import Loss, Targets, loss_by
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.fm.checkpoint import FMCheckpoint
from fmcompress.fm.quantized_fm import QuantizedFM
from fmcompress.fm.tiers import Tiers
from fmcompress.methods.lightfm.code_assignment import LatentStart
from fmcompress.methods.lightfm.straight_through_codes import LatentSGD
from fmcompress.methods.xlightfm.candidate_codebooks import CandidateCodebooks
from fmcompress.methods.xlightfm.gumbel import Architecture, WeightDescent, temperature
from fmcompress.methods.xlightfm.options import SearchOptions
from fmcompress.methods.xlightfm.search_space import SearchSpace
from fmcompress.progress import SILENT, Progress
from fmcompress.training.loop import Schedule, fit
from fmcompress.training.run_state import RunState
from fmcompress.training.trainable import PackedTrainable, adam, linear_decay, sparse_gradients
from fmcompress.types import Int64Array

PHASE = "search"
"""Name of this phase of a run."""

# Keeps the orders of rows of the two halves apart.
_VALID_SEED = 500_009


@dataclass(frozen=True)
class SearchStart:
    """Where a search starts from.

    Attributes:
        checkpoint: the factorization machine that is compressed.
        counts: rows in which each category is active, int64 (categories,).
        models: it quantized with each candidate in all searched fields.
        space: what is selected from.
    """

    checkpoint: FMCheckpoint
    counts: Int64Array
    models: Sequence[QuantizedFM]
    space: SearchSpace


def search(
    start: SearchStart,
    rows: Rows,
    valid: Rows,
    options: SearchOptions,
    *,
    tuning: TuneOptions,
    progress: Progress = SILENT,
    run_state: RunState | None = None,
) -> Int64Array:
    """Return the architecture that the search likes best within the budget, int64 (searched fields, subspaces).

    Args:
        start: where to start from.
        rows: training data.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
        progress: told of each epoch.
        run_state: keeps the state and the history of the run; a search that it knows to be done is not repeated.

    Raises:
        DataError: the rows cannot be used.
        OutputError: a file of the run cannot be written.
        StateError: the saved state is of another model.
    """
    run_state = run_state or RunState()
    done = run_state.result(PHASE)
    if done is None:
        begun = begin_search(start, valid, options, tuning)
        epochs = -(-options.steps // -(-rows.rows // tuning.batch_size))
        schedule = Schedule(tuning.batch_size, epochs, None, tuning.seed, steps=options.steps)
        fit(begun, rows, valid, schedule, title=PHASE, progress=progress, run_state=run_state)
        selected = begun.architecture.most_probable()
        names = [start.checkpoint.schema.names[column] for column in start.space.columns]
        done = {
            "choices": selected.tolist(),
            "codewords": dict(zip(names, start.space.codewords(selected), strict=True)),
            "bytes": start.space.file_bytes(selected),
        }
        run_state.finish(PHASE, done)
    return np.array(done["choices"], dtype=np.int64).reshape(start.space.smallest.shape)


@dataclass(eq=False)
class SearchedModel(PackedTrainable):
    """A search in progress; see ``begin_search``.

    Attributes:
        supernet: the numbers, of all candidates (Eq. 10).
        codebooks: of these the codebooks that are searched.
        architecture: the weights α.
        descent: what trains these.
        inputs: from batches to what the supernet takes.
        targets: what the numbers learn.
        loss_of: the loss of logits against targets.
        distance_weight: λ of the distance loss.
        valid_batches: what the architecture learns from.
        steps: number of steps made so far.
    """

    module: torch.nn.ModuleDict
    supernet: QuantizedModule
    codebooks: CandidateCodebooks
    architecture: Architecture
    descent: WeightDescent
    inputs: InputsOf
    targets: Targets
    loss_of: Loss
    distance_weight: float
    valid_batches: EndlessBatches
    steps: int = 0

    def step(self, batch: Batch) -> Tensor:
        """Move α on a batch of validation rows, then the numbers on ``batch``; return its loss, a float32 scalar."""
        self._move_architecture(next(self.valid_batches))
        self.codebooks.mixture = self.architecture.sample(temperature(self.steps)).detach()
        entropy = super().step(batch)
        self.steps += 1
        return entropy

    def _move_architecture(self, batch: Batch) -> None:
        """Step along the gradient of the loss on held-out labels, then keep to the memory limit."""
        weights = self.architecture.weights
        self.supernet.eval()  # codes are chosen, but not kept: these rows are not for training
        self.codebooks.mixture = self.architecture.sample(temperature(self.steps))
        labels = torch.from_numpy(batch.labels).to(weights.device)
        entropy = self.loss_of(self._logits(batch), labels)
        self.supernet.train()
        # The derivative of the Gumbel-softmax has a factor 1/τ. Without it the draws, colder and colder, would add more
        # and more noise to what the weights have learnt; so the weights come to rest as they get cold.
        weights.grad = temperature(self.steps) * torch.autograd.grad(entropy, [weights])[0]
        before = weights.detach().clone()
        self.descent.step()
        self.architecture.hold(before)

    def _logits(self, batch: Batch) -> Tensor:
        return cast("Tensor", self.supernet(self.inputs(batch)))

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return F_α (Eq. 13) with the last draw of α, and of it the loss against the targets, float32 scalars."""
        entropy = self.loss_of(self._logits(batch), self.targets(batch))
        return entropy + self.distance_weight * self.codebooks.distance, entropy

    def kept(self) -> PackedFM:
        """Return the packed model of the architecture that is selected now."""
        selected = self.architecture.selected()
        quantizers = self.architecture.space.quantizers(selected)
        model = self.like
        fields = [
            replace(field, quantizer=quantizer) for field, quantizer in zip(model.fields, quantizers, strict=True)
        ]
        self.codebooks.selected = selected
        return pack_model(self.supernet.store(replace(model, fields=tuple(fields))), self.origin)

    def figures(self) -> dict[str, Any]:
        """Return τ, and the selected architecture with its bytes."""
        selected = self.architecture.selected()
        return {
            "tau": round(temperature(self.steps), 6),
            "selected_bytes": self.architecture.space.file_bytes(selected),
            "codewords": self.architecture.space.codewords(selected),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads."""
        return {
            **super().state_dict(),
            "descent": self.descent.state_dict(),
            "steps": self.steps,
            "valid_batches": self.valid_batches.taken,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(state)
        self.descent.load_state_dict(state["descent"])
        self.steps = state["steps"]
        self.valid_batches.skip_to(state["valid_batches"])


def begin_search(start: SearchStart, valid: Rows, options: SearchOptions, tuning: TuneOptions) -> SearchedModel:
    """Return a search with equal weights, ready to run.

    Args:
        start: where to start from.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
    """
    checkpoint, space, moving = start.checkpoint, start.space, tuning.moving or MovingOptions()
    sparse = sparse_gradients(checkpoint.embeddings.size)
    split = checkpoint.schema.split
    latents = LatentStart(split(checkpoint.embeddings), split(start.counts), moving)
    codebooks = CandidateCodebooks(start.models, space.columns, latents)
    raw = [column for column in range(len(checkpoint.schema)) if column not in space.columns]
    layers = [codebooks, *([RawRows(start.models[0], raw, sparse=sparse)] if raw else [])]
    supernet = QuantizedModule(start.models[0], sparse=sparse, layers=layers)
    architecture = Architecture(space, options.scope, tuning.seed)
    module = torch.nn.ModuleDict({"supernet": supernet, "architecture": architecture}).to(tuning.device)
    optimizers = [
        *adam(supernet.tables(), supernet.others(), options.lr, sparse=sparse),
        LatentSGD(codebooks.latents, codebooks.assignments[0], moving.latent_lr),
    ]
    return SearchedModel(
        module=module,
        optimizers=optimizers,
        schedulers=linear_decay(optimizers, options.steps),
        like=start.models[0],
        origin=space.origin,
        supernet=supernet,
        codebooks=codebooks,
        architecture=architecture,
        descent=WeightDescent(architecture.weights, options.alpha_lr),
        inputs=InputsOf(Tiers.none(checkpoint.schema), checkpoint.numeric, tuning.device),
        targets=Targets(checkpoint, tuning.distillation, tuning.device),
        loss_of=loss_by(checkpoint.link_function),
        distance_weight=moving.distance_weight,
        valid_batches=EndlessBatches(valid, tuning.batch_size, tuning.seed + _VALID_SEED),
    )


class EndlessBatches:
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
        for batch in self._batches:
            self.taken += 1
            return batch
        self._batches = self._pass()
        return next(self)
