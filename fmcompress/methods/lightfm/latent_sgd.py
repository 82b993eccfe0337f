"""Plain gradient descent on latent embeddings, with one step size for all categories of a subspace.

Adam would give every category steps of the same size, however seldom it is seen: rare categories would be thrown
about by the few rows that they are in, and change codewords without a reason. Here the gradient is divided by its own
root mean square over the categories of the batch, field by field and subspace by subspace, so that a category moves as
far as its rows pull. It takes no memory for each category.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from fmcompress.methods.lightfm.code_assignment import CodeAssignment

_MEMORY = 0.99
_LEAST_SQUARE = 1e-30


class LatentSGD(torch.optim.Optimizer):
    """Moves the latent embeddings behind straight-through codes.

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
