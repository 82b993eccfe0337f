"""How rows are read: what those who open data choose."""

from dataclasses import dataclass
from typing import Literal

from fmcompress.fm.links import Link

Match = Literal["name", "order"]
Oov = Literal["error", "zero"]
Labels = Literal["binary", "number"]
"""What labels are: 0 and 1, or for a regression any numbers."""


@dataclass(frozen=True)
class DataOptions:
    """How rows are read.

    Attributes:
        label: column of the labels; lines of text begin with theirs.
        match: columns belong to fields by ``name`` or by ``order``.
        oov: an id out of range or a token that no vocabulary knows is an ``error``, or counts as missing (``zero``).
        first_index: index of the model's first row in lines of text, 0 or 1.
    """

    label: str = "label"
    match: Match = "name"
    oov: Oov = "error"
    first_index: int = 0


def labels_for(link: Link) -> Labels:
    """Return what the labels of rows for a model with this link are."""
    return "number" if link.regression else "binary"
