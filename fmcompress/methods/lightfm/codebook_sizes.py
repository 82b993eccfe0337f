"""Sizes of codebooks that LightFM and xLightFM allow."""

from __future__ import annotations

from fmcompress.errors import UsageError
from fmcompress.fm.quantizer import MAX_CODEWORDS


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


def check_subspaces(subspaces: int, dim: int | None = None) -> None:
    """Check a number of subspaces; where ``dim`` is known, against that.

    Raises:
        UsageError: there is none, or there are more than coordinates.
    """
    if subspaces < 1:
        raise UsageError(f"subspaces is {subspaces}, expected 1 or more")
    if dim is not None and subspaces > dim:
        raise UsageError(f"subspaces is {subspaces}, but the embeddings have {dim} coordinates")
