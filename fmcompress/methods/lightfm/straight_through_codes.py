"""Fields whose codes move with the loss: latent embeddings, of which each batch uses the nearest codewords.

A latent embedding v_i is kept as the residual v_i − q_i to its codeword, so that a codebook that moves takes its
categories along: codes change because the loss asks for it, not because codebooks drift through latents that stand
still. Only the batch's distinct categories are compared with codewords.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, embedding_bag, pad
from torch.optim import Optimizer

from fmcompress.finetune.layers import EmbeddingLayer, Fields
from fmcompress.finetune.lookup import Lookup, Values
from fmcompress.finetune.quantized_module import QuantizedModule
from fmcompress.finetune.tuner import CodeUpdate
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.methods.lightfm.code_assignment import CodeAssignment, LatentStart, sums_over_fields
from fmcompress.methods.lightfm.shared_categories import SharedCategories
from fmcompress.methods.lightfm.straight_through import weighted_distance
from fmcompress.processes.world import this_process


@dataclass(frozen=True)
class StraightThrough(CodeUpdate):
    """Codes move with each step (Eq. 6 to 8), and a distance loss keeps latent embeddings near them (Eq. 5).

    Attributes:
        start: the first latents, of each field or tier, and how codes move.
    """

    start: LatentStart

    def layer(self, model: QuantizedFM, columns: list[int]) -> StraightThroughCodes:
        """Return the layer of some fields."""
        return StraightThroughCodes(model, columns, self.start)

    def optimizers(self, module: QuantizedModule) -> list[Optimizer]:
        """Return what moves the latents."""
        lr = self.start.options.latent_lr
        return [LatentSGD(layer.latents, layer.assignment, lr) for layer in straight_through_layers(module)]

    def penalty(self, module: QuantizedModule) -> Tensor | float:
        """Return the weighted distance loss of the last batch, a float32 scalar."""
        return self.start.options.distance_weight * sum(own.distance for own in straight_through_layers(module))


class StraightThroughCodes(EmbeddingLayer):
    """Fields coded in the same number of subspaces, whose categories may change their codewords at every step.

    Attributes:
        assignment: codebooks and codes.
        latents: v_i − q_i of each category, padded, float32 (categories + 1, subspaces · width); the last row is 0,
            for missing values. Gradients, those of v_i, are sparse.
        distance: the distance loss of the last batch, a float32 scalar.
        weights: w_i of the distance loss, float32 (categories + 1,).
    """

    weights: Tensor

    def __init__(self, model: QuantizedFM, columns: list[int], start: LatentStart) -> None:
        """Start from codebooks and codes of the fields in these columns."""
        super().__init__()
        self.assignment = CodeAssignment(model, columns, start)
        residuals = self.assignment.joined(start) - self.assignment.current(torch.arange(self._null))
        self.latents = nn.Parameter(pad(residuals.flatten(1), (0, 0, 0, 1)))
        self._lookup = DistinctCategories(self.assignment, len(model.fields))
        self.register_buffer("weights", start.distance_weights(columns), persistent=False)
        self.distance = torch.zeros(())

    @property
    def _null(self) -> int:
        return len(self.assignment.codes) - 1

    def latent_parameters(self) -> list[nn.Parameter]:
        """Return the latents."""
        return [self.latents]

    def forward(self, ids: Tensor, values: Values | None = None) -> tuple[Tensor, Tensor]:
        """Return vectors and scalars, see ``EmbeddingLayer``.

        In training mode the codes of the batch's categories are assigned anew, and kept.
        """
        categories, uses = self._lookup(ids, values)
        current = self.assignment.current(categories)
        residuals = embedding(categories, self.latents, padding_idx=self._null, sparse=True)
        latents = current + residuals.view(current.shape)
        assigned = self.assignment(latents, categories)
        shift = latents - assigned
        weights = self.weights[categories]
        if self.training:
            with torch.no_grad():
                self.latents[categories] = shift.flatten(1)
            if not this_process().alone:
                weights = weights / self._shared(SharedCategories.of(this_process(), categories)).to(weights.device)
        self.distance = weighted_distance(shift, weights)
        return sums_over_fields(assigned, uses, self.assignment.layout)

    @torch.no_grad()
    def _shared(self, categories: SharedCategories) -> Tensor:
        """Take over what other processes have assigned, and return how many have each category, float32 (n,)."""
        codes = self.assignment.codes
        own = torch.from_numpy(categories.own).to(codes.device).long()
        new, rows = (found.to(codes.device) for found in categories.of_others(codes[own]))
        current = self.assignment.current(new)
        latents = current + self.latents[new].view(current.shape)
        codes[new] = rows
        self.latents[new] = (latents - self.assignment.current(new)).flatten(1)
        return categories.holders()

    def store(self, fields: Sequence[QuantizedField]) -> Fields:
        """Return the fields of this layer with numbers and codes as they are now."""
        return self.assignment.store(fields)


def straight_through_layers(module: QuantizedModule) -> list[StraightThroughCodes]:
    """Return the layers of a module whose codes move."""
    return [layer for layer in module.layers if isinstance(layer, StraightThroughCodes)]


class DistinctCategories(nn.Module):
    """Finds the distinct categories of batches."""

    def __init__(self, assignment: CodeAssignment, fields: int) -> None:
        """Number the categories of the assignment's fields, of so many, one field after the other."""
        super().__init__()
        ends = assignment.ends.tolist()
        numbers = [np.arange(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        self._lookup = Lookup(numbers, null=ends[-1], columns=assignment.layout.columns, fields=fields)

    def forward(self, ids: Tensor, values: Values | None = None) -> tuple[Tensor, list[Tensor]]:
        """Return the distinct categories of ids and values, int64 (n,), and which of them is where.

        The latter are int64 (rows, fields) and, where there are values, int64 (values, 1).

        Args:
            ids: int64 (rows, all fields).
            values: of bags; None where there are none.
        """
        places = [self._lookup.positions(ids)]
        if values is not None:
            places.append(self._lookup.positions_of_values(values))
        categories, uses = torch.unique(torch.cat([own.flatten() for own in places]), return_inverse=True)
        parts = torch.split(uses, [own.numel() for own in places])
        return categories, [part.view(own.shape) for part, own in zip(parts, places, strict=True)]


_MEMORY = 0.99
_LEAST_SQUARE = 1e-30


class LatentSGD(torch.optim.Optimizer):
    """Plain gradient descent on latent embeddings, with one step size for all categories of a subspace.

    Adam would give every category steps of the same size, however seldom it is seen: rare categories would be thrown
    about by the few rows that they are in, and change codewords without a reason. Here the gradient is divided by its
    own root mean square over the categories of the batch, field by field and subspace by subspace, so that a category
    moves as far as its rows pull. It takes no memory for each category.

    A step is lr · u · ∂L/∂v / r, with r the root mean square of ∂L/∂v and u that of v_i − q_i at the start: a learning
    rate of 1 moves an average category of the batch by its distance to its codeword.
    """

    def __init__(self, latents: nn.Parameter, assignment: CodeAssignment, lr: float) -> None:
        """Train latents, float32 (categories + 1, subspaces · width), whose gradients are sparse.

        Args:
            latents: of all categories of the assignment's fields.
            assignment: knows these fields, and the unit of distance in each.
            lr: learning rate.
        """
        super().__init__([latents], {"lr": lr})
        self._latents, self._assignment = latents, assignment
        self.state[latents] = {"step": torch.zeros(()), "squares": torch.zeros_like(assignment.units)}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make one step."""
        state, units = self.state[self._latents], self._assignment.units
        gradient = cast("Tensor", self._latents.grad).coalesce()
        categories, values = gradient.indices()[0], gradient.values()
        field = torch.searchsorted(self._assignment.ends, categories, right=True)
        pulls = values.view(len(values), units.shape[1], -1)
        state["step"] += 1
        state["squares"].lerp_(_means_by_field(pulls.square().mean(dim=2), field, len(units)), 1 - _MEMORY)
        sizes = (state["squares"] / (1 - _MEMORY ** state["step"])).clamp_min(_LEAST_SQUARE).sqrt()
        scale = (self.param_groups[0]["lr"] * units / sizes)[field]
        self._latents[categories] -= (pulls * scale[:, :, None]).flatten(1)


def _means_by_field(values: Tensor, field: Tensor, fields: int) -> Tensor:
    """Return the mean of the rows of each field, float32 (fields, columns); rows are sorted by field."""
    starts = torch.searchsorted(field, torch.arange(fields, device=field.device))
    return embedding_bag(torch.arange(len(values), device=field.device), values, starts, mode="mean")
