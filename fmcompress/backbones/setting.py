"""The learning rate and the L2 weight that a model is trained with, found together on validation data.

Each trial is a training of four epochs, whose learning rate falls to 0: at a constant rate, which of two is ahead after
a few epochs says little. What a rate comes to depends on how many steps there are: a short training stands for a
longer one at a third of its rate. There are at most seven trials. In few epochs little is learnt by heart, so that they
prefer weights that are somewhat too small: a training with a larger one, half a step up, is held against that with the
one that they find.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fmcompress.evaluation.scores import Scores

L2_STEPS = (0.0, *(10 ** (exponent / 2) for exponent in range(-12, 0)))
"""Of the L2 weight, ½ decade each, and none."""
LR_STEPS = tuple(10 ** (exponent / 2) for exponent in range(-8, 0))
"""Of the learning rate."""
MOST_TRIALS = 7
RATE_OF_TRIALS = math.sqrt(10)
"""Over that of the training that they stand for."""
LARGER_L2 = 10**0.25
"""Of the second training, over that of the first."""


@dataclass(frozen=True)
class Setting:
    """What a model is trained with.

    Attributes:
        lr: learning rate of Adam at the start.
        l2: weight of the mean over a batch's rows of Σ_i (‖v_i‖² + w_i²).
    """

    lr: float
    l2: float

    def __str__(self) -> str:
        return f"learning rate {self.lr:.1e}, L2 {self.l2:.1e}"


@dataclass
class Search:
    """A search among settings, step by step as long as validation gets better.

    Attributes:
        trial: the scores of a short training.
        tried: what was found so far.
    """

    trial: Callable[[Setting], Scores]
    tried: dict[Setting, float] = field(default_factory=dict)

    def find(self, start: Setting, *, lr: bool, l2: bool) -> list[Setting]:
        """Return the best of the settings that were tried; where L2 weights were, then one with a larger weight.

        Args:
            start: the first.
            lr: whether a learning rate is looked for.
            l2: whether an L2 weight is.
        """
        best = self._climb(start, "lr", LR_STEPS) if lr else start
        best = self._climb(best, "l2", L2_STEPS) if l2 else best
        return [best, replace(best, l2=best.l2 * LARGER_L2)] if l2 and best.l2 else [best]

    def _climb(self, best: Setting, name: str, steps: Sequence[float]) -> Setting:
        """Walk along one of both numbers, up first, and return where it is best."""
        start = at = min(range(len(steps)), key=lambda step: abs(steps[step] - getattr(best, name)))
        for direction in (1, -1):
            while 0 <= at + direction < len(steps):
                neighbour = replace(best, **{name: steps[at + direction]})
                if not self._better(neighbour, best):
                    break
                best, at = neighbour, at + direction
            if at != start:
                break  # it got better this way: the other way lies behind
        return best

    def _better(self, one: Setting, other: Setting) -> bool:
        new = [setting for setting in (other, one) if setting not in self.tried]
        if len(self.tried) + len(new) > MOST_TRIALS:
            return False
        self.tried |= {
            setting: self.trial(replace(setting, lr=setting.lr * RATE_OF_TRIALS)).selection for setting in new
        }
        return self.tried[one] > self.tried[other]
