"""A search that measures sizes: it trains one path of candidates at a time, and tries single sizes on held-out rows.

Prices of sizes start from what the planner expects of them. Each step draws a path, one candidate of each codebook, see
``paths``, and trains it on a batch of training rows (Eq. 13). After every few steps each candidate of each codebook in
turn takes the place of the drawn one on a batch of validation rows: what that does to the loss moves its price. So
prices are those of codebooks as they are once trained, beside others that are small too; later measurements count more.
In the end an exact knapsack of the prices fills the budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fmcompress.data.batch import Batch
from fmcompress.data.rows import Rows
from fmcompress.devices.moving import moved
from fmcompress.finetune.options import MovingOptions, TuneOptions
from fmcompress.methods.xlightfm.endless_batches import EndlessBatches
from fmcompress.methods.xlightfm.options import SearchOptions
from fmcompress.methods.xlightfm.paths import draw, path_probabilities
from fmcompress.methods.xlightfm.prices import Prices
from fmcompress.methods.xlightfm.supernet import SearchedModel, SearchStart, begin_supernet
from fmcompress.training.trainable import linear_decay
from fmcompress.types import Float64Array, Int64Array

# Candidates that a draw chooses among.
_PERPLEXITY = 2.5
_MEASUREMENTS = 32


@dataclass(eq=False, kw_only=True)
class SampledSearch(SearchedModel):
    """A search in progress; see ``begin_sampled``.

    Attributes:
        prices: of the candidates of each codebook, or of each field's where its codebooks share their size.
        every: steps after which they are measured.
        rng: of the draws.
        probabilities: of the candidates, float64 (fields, groups, candidates); None where they have to be found anew.
    """

    prices: Prices
    every: int
    rng: np.random.Generator
    probabilities: Float64Array | None = None

    def step(self, batch: Batch) -> Tensor:
        """Train the numbers of a path on ``batch``, measure where it is time; return its loss, a float32 scalar."""
        if self.probabilities is None:
            self.probabilities = self._probabilities()
        path = draw(self.probabilities, self.rng)
        self._take(path)
        self.prices.visit(path)
        entropy = super().step(batch)
        self.steps += 1
        if self.steps % self.every == 0:
            self._measure(path, next(self.valid_batches))
            self.probabilities = None
        return entropy

    def _probabilities(self) -> Float64Array:
        estimates = np.where(self.space.distinct, self.prices.estimates(), np.inf)
        payloads = self.space.payloads.reshape(*estimates.shape[:2], -1, estimates.shape[2]).sum(axis=2)
        return path_probabilities(estimates, payloads, self.space.allowed_bytes, _PERPLEXITY)

    def _take(self, path: Int64Array) -> None:
        self.supernet.take(np.broadcast_to(path, self.space.smallest.shape))

    @torch.no_grad()
    def _measure(self, path: Int64Array, batch: Batch) -> None:
        """Put each candidate of each codebook in turn into a path, on held-out rows."""
        supernet, losses = self.supernet, np.empty_like(self.prices.expected)
        inputs = supernet.inputs(batch)
        labels = moved(batch.labels, inputs.ids.device)
        supernet.module.eval()  # codes stay as they are
        with supernet.remembered(inputs):
            for field, group, number in np.ndindex(losses.shape):
                if self.space.distinct[field, 0, number]:
                    other = path.copy()
                    other[field, group] = number
                    self._take(other)
                    losses[field, group, number] = float(supernet.loss_of(supernet.module(inputs), labels))
                else:
                    losses[field, group, number] = losses[field, group, number - 1]
        supernet.module.train()
        self.prices.add(losses, weight=self.steps)

    def selected(self) -> Int64Array:
        """Return the architecture with the lowest prices within the budget, int64 (searched fields, subspaces)."""
        return self.space.most_probable(-self.prices.estimates())

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next step reads."""
        return {**super().state_dict(), "prices": self.prices.state_dict(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        super().load_state_dict(state)
        self.prices.load_state_dict(state["prices"])
        self.rng.bit_generator.state = state["rng"]
        self.probabilities = None


def begin_sampled(
    start: SearchStart, valid: Rows, options: SearchOptions, tuning: TuneOptions, *, steps: int
) -> SampledSearch:
    """Return a search with the expected prices, ready to run.

    Args:
        start: where to start from.
        valid: validation data.
        options: how to search.
        tuning: how codes move, learning rate, batch size, share of distillation, seed and device.
        steps: how many there will be.
    """
    supernet, moving = begin_supernet(start, tuning), tuning.moving or MovingOptions()
    optimizers = supernet.optimizers(options.lr or tuning.lr, moving.latent_lr)
    by_field = options.scope == "field"
    return SampledSearch(
        module=supernet.module,
        optimizers=optimizers,
        schedulers=linear_decay(optimizers, steps),
        like=start.models[0],
        origin=start.space.origin,
        supernet=supernet,
        space=start.space,
        valid_batches=EndlessBatches(valid, tuning.batch_size, tuning.seed),
        prices=Prices(start.prices.sum(axis=1, keepdims=True) if by_field else start.prices),
        every=max(1, steps // _MEASUREMENTS),
        rng=np.random.default_rng(tuning.seed),
    )
