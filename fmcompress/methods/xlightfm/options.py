"""What xLightFM's search chooses from, and how it searches."""

from dataclasses import dataclass
from typing import Literal

from fmcompress.arguments import checked_arguments
from fmcompress.errors import UsageError
from fmcompress.methods.lightfm.method import check_codewords, check_subspaces

Scope = Literal["codebook", "field"]


@checked_arguments
@dataclass(frozen=True)
class SpaceOptions:
    """What the search chooses from.

    Attributes:
        subspaces: D, into which each embedding is cut.
        candidates: numbers of codewords K, rising.
        linear_codewords: of the linear weights' codebook of each field, see ``LightFM``.
    """

    subspaces: int = 4
    candidates: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    linear_codewords: int = 256

    def __post_init__(self) -> None:
        check_subspaces(self.subspaces)
        if not self.candidates or sorted(set(self.candidates)) != list(self.candidates):
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
        scope: whether each ``codebook`` has weights α of its own, or all codebooks of a ``field`` the same.
        steps: of the search; after 3,330 the Gumbel-softmax is as cold as it gets.
        lr: learning rate of the numbers; it falls to 0.
        alpha_lr: learning rate of log α.
    """

    scope: Scope = "codebook"
    steps: int = 3500
    lr: float = 1e-3
    alpha_lr: float = 1e-2

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"search_steps is {self.steps}, expected 1 or more")
        if self.scope not in ("codebook", "field"):
            raise UsageError(f"search_scope is {self.scope!r}, expected codebook or field")
