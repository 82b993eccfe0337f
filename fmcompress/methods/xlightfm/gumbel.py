"""What the search has learnt: weights α of candidates, drawn from by Gumbel-softmax, held within the memory limit.

For each codebook the weights of its candidates, their draw with noise G_i = −log(−log U_i), and the limit are

    ‖α‖ = 1                                                              (9)
    p_i = exp((log α_i + G_i) / τ) / Σ_j exp((log α_j + G_j) / τ)        (11)
    α_i = min(α_i, α_i,last)   for i ≥ S_last, where over the budget     (14)

with the temperature τ = max(0.001, 1 − 0.0003 · step), and S_last the candidate that was selected before the step.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from fmcompress.methods.xlightfm.options import Scope
from fmcompress.methods.xlightfm.search_space import SearchSpace
from fmcompress.types import Int64Array

_LEAST_TEMPERATURE = 0.001
_COOLING = 0.0003
_LEAST_WEIGHT = 1e-6
_LEAST_SQUARE = 1e-30


def temperature(step: int) -> float:
    """Return the Gumbel-softmax's temperature τ = max(0.001, 1 − 0.0003 · step)."""
    return max(_LEAST_TEMPERATURE, 1 - _COOLING * step)


class Architecture(nn.Module):
    """The weights α of the candidates, of unit length for each codebook (Eq. 9).

    Attributes:
        space: what is selected from.
        weights: α, float32 (searched fields, subspaces or 1, candidates).
    """

    def __init__(self, space: SearchSpace, scope: Scope, seed: int) -> None:
        """Start with the same weight for each candidate."""
        super().__init__()
        fields, candidates = space.sizes.shape
        groups = space.subspaces if scope == "codebook" else 1
        self.weights = nn.Parameter(torch.full((fields, groups, candidates), candidates**-0.5))
        self.space = space
        self._generator = torch.Generator().manual_seed(seed)

    def sample(self, temperature: float) -> Tensor:
        """Return a draw of the Gumbel-softmax (Eq. 11), float32 (fields, subspaces, candidates)."""
        noise = torch.empty(self.weights.shape).exponential_(generator=self._generator).log_().neg_()
        logits = self.weights.log() + noise.to(self.weights.device)
        return self._of_subspaces(torch.softmax(logits / temperature, dim=2))

    def selected(self) -> Int64Array:
        """Return the candidate with the largest weight of each codebook, int64 (fields, subspaces)."""
        return self._of_subspaces(self.weights.detach()).argmax(dim=2).cpu().numpy()

    def most_probable(self) -> Int64Array:
        """Return the most probable architecture within the budget, int64 (fields, subspaces)."""
        return self.space.most_probable(self.weights.detach().log().cpu().numpy())

    def _of_subspaces(self, weights: Tensor) -> Tensor:
        return weights.expand(-1, self.space.subspaces, -1)

    @torch.no_grad()
    def hold(self, before: Tensor) -> None:
        """Keep the weights positive and of unit length, and larger candidates from growing over the limit.

        Where it is over the budget, α_i = min(α_i, α_i,last) for each candidate i ≥ S_last (Eq. 14).

        Args:
            before: the weights before the last step, float32 (searched fields, subspaces or 1, candidates).
        """
        self.weights.clamp_(min=_LEAST_WEIGHT)
        if not self.space.fits(self.selected()):
            last = before.argmax(dim=2, keepdim=True)
            larger = torch.arange(before.shape[2], device=before.device) >= last
            self.weights.copy_(torch.where(larger, torch.minimum(self.weights, before), self.weights))
        self.weights.div_(self.weights.norm(dim=2, keepdim=True))

    def get_extra_state(self) -> Tensor:
        """Return the state of the noise, uint8 (bytes,): part of ``state_dict``."""
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what ``get_extra_state`` returned, uint8 (bytes,)."""
        self._generator.set_state(state.cpu())


class WeightDescent(torch.optim.Optimizer):
    """Exponentiated gradient descent: α ← α · exp(−lr · g / r), with g = ∂L/∂log α and r its root mean square so far.

    All weights and steps share r. So log α adds up what each candidate has done for the loss, on one scale for all
    codebooks: the most probable architecture within the budget is the one that has done most. Adam would move all
    weights at the same speed, whatever they do for the loss.
    """

    def __init__(self, weights: nn.Parameter, lr: float) -> None:
        """Train weights α, which are positive."""
        super().__init__([weights], {"lr": lr})
        self._weights = weights
        self.state[weights] = {"step": torch.zeros(()), "square": torch.zeros(())}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make one step."""
        gradient = self._weights * cast("Tensor", self._weights.grad)
        state = self.state[self._weights]
        state["step"] += 1
        state["square"].lerp_(gradient.square().mean().to(state["square"].device), 1 / float(state["step"]))
        size = state["square"].clamp_min(_LEAST_SQUARE).sqrt()
        self._weights.mul_(torch.exp(-self.param_groups[0]["lr"] * gradient / size.to(gradient.device)))
