"""The paper's search for the sizes of codebooks (section 3.4.2 and Algorithm 1).

Each step has two halves, with θ the numbers, codebooks and latents, and F_α the loss with its distance loss:

    α ← α − η ∇_α L_valid(θ, α)      on a batch of validation rows       (12, first-order DARTS: ξ = 0)
    θ ← θ − η ∇_θ F_α(θ)             on a batch of training rows         (13)

Where the architecture that α selects is over the memory limit, Eq. 14 takes back what larger candidates have gained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.devices.moving import moved
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.methods.xlightfm.endless_batches import EndlessBatches
from fmcompress.methods.xlightfm.gumbel import Architecture, WeightDescent, temperature
from fmcompress.methods.xlightfm.options import SearchOptions
from fmcompress.methods.xlightfm.supernet import SearchedModel, SearchStart, begin_supernet
from fmcompress.training.trainable import linear_decay
from fmcompress.types import Int64Array

_LR = 1e-3


@dataclass(eq=False, kw_only=True)
class DartsSearch(SearchedModel):
    """A search in progress; see ``begin_darts``.

    Attributes:
        architecture: the weights α.
        descent: what trains these.
    """

    module: torch.nn.ModuleDict
    architecture: Architecture
    descent: WeightDescent

    def step(self, batch: Batch) -> Tensor:
        """Move α on a batch of validation rows, then the numbers on ``batch``; return its loss, a float32 scalar."""
        self._move_architecture(next(self.valid_batches))
        self.supernet.mix(self.architecture.sample(temperature(self.steps)).detach())
        entropy = super().step(batch)
        self.steps += 1
        return entropy

    def _move_architecture(self, batch: Batch) -> None:
        """Step along the gradient of the loss on held-out labels, then keep to the memory limit."""
        weights, supernet = self.architecture.weights, self.supernet
        supernet.module.eval()  # codes are chosen, but not kept: these rows are not for training
        supernet.mix(self.architecture.sample(temperature(self.steps)))
        labels = moved(batch.labels, weights.device)
        entropy = supernet.loss_of(supernet.logits(batch), labels)
        supernet.module.train()
        # The derivative of the Gumbel-softmax has a factor 1/τ. Without it the draws, colder and colder, would add more
        # and more noise to what the weights have learnt; so the weights come to rest as they get cold.
        weights.grad = temperature(self.steps) * torch.autograd.grad(entropy, [weights])[0]
        before = weights.detach().clone()
        self.descent.step()
        self.architecture.hold(before)

    def selected(self) -> Int64Array:
        """Return the candidate with the largest weight of each codebook, int64 (searched fields, subspaces)."""
        return self.architecture.selected()

    def found(self) -> Int64Array:
        """Return the most probable architecture within the budget, int64 (searched fields, subspaces)."""
        return self.architecture.most_probable()

    def figures(self) -> dict[str, Any]:
        """Return τ, and the selected architecture with its bytes."""
        return {"tau": round(temperature(self.steps), 6), **super().figures()}

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads."""
        return {**super().state_dict(), "descent": self.descent.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(state)
        self.descent.load_state_dict(state["descent"])


def begin_darts(
    start: SearchStart, valid: Rows, options: SearchOptions, tuning: TuneOptions, *, steps: int
) -> DartsSearch:
    """Return a search with equal weights, ready to run.

    Args:
        start: where to start from.
        valid: validation data.
        options: how to search.
        tuning: how codes move, batch size, share of distillation, seed and device.
        steps: how many there will be.
    """
    supernet, moving = begin_supernet(start, tuning), tuning.moving or MovingOptions()
    architecture = Architecture(start.space, options.scope, tuning.seed).to(tuning.device)
    optimizers = supernet.optimizers(options.lr or _LR, moving.latent_lr)
    return DartsSearch(
        module=torch.nn.ModuleDict({"supernet": supernet.module, "architecture": architecture}),
        optimizers=optimizers,
        schedulers=linear_decay(optimizers, steps),
        like=start.models[0],
        origin=start.space.origin,
        supernet=supernet,
        space=start.space,
        valid_batches=EndlessBatches(valid, tuning.batch_size, tuning.seed),
        architecture=architecture,
        descent=WeightDescent(architecture.weights, options.alpha_lr),
    )
