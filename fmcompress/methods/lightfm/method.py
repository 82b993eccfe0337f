"""LightFM: one number of subspaces and codewords for all fields (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import MAX_CODEWORDS, Quantizer


@dataclass(frozen=True)
class LightFM:
    """The method ``lightfm``: sizes of all codebooks.

    Attributes:
        subspaces: D, into which each embedding is cut.
        codewords: K of each codebook; fields with no more categories keep raw embeddings.
        linear_codewords: of the linear weights' codebook of each field; fields with no more categories, or all
            fields where it is 0, keep raw linear weights. The paper does not count them.
    """

    name: ClassVar[str] = "lightfm"
    subspaces: int = 4
    codewords: int = 1024
    linear_codewords: int = 256

    def __post_init__(self) -> None:
        if self.subspaces < 1:
            raise UsageError(f"subspaces is {self.subspaces}, expected 1 or more")
        check_codewords("codewords", self.codewords, least=2)
        if self.linear_codewords:
            check_codewords("linear_codewords", self.linear_codewords, least=1)

    def quantizers(self, cardinalities: Sequence[int], dim: int) -> list[Quantizer]:
        """Return the quantizer of each field.

        Raises:
            UsageError: there are more subspaces than coordinates.
        """
        check_subspaces(self.subspaces, dim)
        return [
            Quantizer(
                () if cardinality <= self.codewords else (self.codewords,) * self.subspaces,
                linear_quantizer(cardinality, self.linear_codewords),
            )
            for cardinality in cardinalities
        ]


def linear_quantizer(cardinality: int, codewords: int) -> int:
    """Return the codewords of a field's linear weights; 0, raw ones, where it has no more categories."""
    return codewords if cardinality > codewords else 0


def check_codewords(name: str, codewords: int, *, least: int) -> None:
    """Check the size of a codebook.

    Raises:
        UsageError: it is out of range.
    """
    if not least <= codewords <= MAX_CODEWORDS:
        raise UsageError(f"{name} is {codewords}, expected {least} to {MAX_CODEWORDS}")


def check_subspaces(subspaces: int, dim: int) -> None:
    """Check a number of subspaces.

    Raises:
        UsageError: there are more than coordinates.
    """
    if subspaces > dim:
        raise UsageError(f"subspaces is {subspaces}, but the embeddings have {dim} coordinates")
