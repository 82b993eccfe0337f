"""What xLightFM's search chooses from, and how it searches."""

from dataclasses import dataclass
from typing import Literal, get_args

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.methods.lightfm.method import check_codewords, check_subspaces

Scope = Literal["codebook", "field"]
Recipe = Literal["sampled", "darts"]

_CANDIDATES = {"sampled": (16, 32, 64, 128, 256, 512, 1024, 2048), "darts": (64, 128, 256, 512, 1024, 2048)}
_DARTS_STEPS = 3500
_LEAST_STEPS = 100


@checked_arguments
@dataclass(frozen=True)
class SpaceOptions:
    """What the search chooses from.

    Attributes:
        subspaces: D, into which each embedding is cut.
        candidates: numbers of codewords K, rising; none takes those of the recipe, powers of two up to 2,048, from 16
            on for ``sampled`` and from 64 on, as the paper does, for ``darts``.
        linear_codewords: of the linear weights' codebook of each field, see ``LightFM``.
    """

    subspaces: int = 4
    candidates: tuple[int, ...] = ()
    linear_codewords: int = 256

    def __post_init__(self) -> None:
        check_subspaces(self.subspaces)
        if sorted(set(self.candidates)) != list(self.candidates):
            raise UsageError(f"candidates are {self.candidates}, expected numbers of codewords, rising")
        for candidate in self.candidates:
            check_codewords("candidate", candidate, least=2)
        if self.linear_codewords:
            check_codewords("linear_codewords", self.linear_codewords, least=1)


@checked_arguments
@dataclass(frozen=True)
class SearchOptions:
    """How codebook sizes are searched.

    Attributes:
        recipe: ``sampled`` trains one path of candidates at a time, from the planner's prices on, and measures sizes on
            held-out rows; ``darts`` is the paper's, which mixes all candidates by Gumbel-softmax.
        scope: whether each ``codebook`` has weights α of its own, or all codebooks of a ``field`` the same.
        steps: of the search; None takes 3,500 for ``darts``, whose Gumbel-softmax is as cold as it gets after 3,330,
            and as many as the tuning will have for ``sampled``.
        lr: learning rate of the numbers; it falls to 0. None takes 1e-3 for ``darts``, tuning's for ``sampled``.
        alpha_lr: learning rate of log α, for ``darts``.
    """

    recipe: Recipe = "sampled"
    scope: Scope = "codebook"
    steps: int | None = None
    lr: float | None = None
    alpha_lr: float = 1e-2

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"search_steps is {self.steps}, expected 1 or more")
        if self.scope not in ("codebook", "field"):
            raise UsageError(f"search_scope is {self.scope!r}, expected codebook or field")
        if self.recipe not in get_args(Recipe):
            raise UsageError(f"search is {self.recipe!r}, expected sampled or darts")

    @property
    def candidates(self) -> tuple[int, ...]:
        """Numbers of codewords to choose from where none are given."""
        return _CANDIDATES[self.recipe]

    def steps_of(self, tuning: int) -> int:
        """Return the number of steps, where tuning will have so many."""
        if self.steps is not None:
            return self.steps
        return _DARTS_STEPS if self.recipe == "darts" else max(tuning, _LEAST_STEPS)
