"""The frame of an artifact: what is fixed before anything is quantized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fmcompress.artifact.container import StoredTensor
from fmcompress.errors import UsageError
from fmcompress.fm.links import Link, parse_link
from fmcompress.fm.schema import Schema

_ALWAYS = ("bias", "values", "codes")
_MAX_NUMERIC = 2**26
"""Numbers in embeddings of numeric fields: linear-only ones take no bytes in a file, but room in memory."""


class _Machine(Protocol):
    """A factorization machine, quantized or not."""

    @property
    def schema(self) -> Schema: ...
    @property
    def dim(self) -> int: ...
    @property
    def link(self) -> str: ...


@dataclass(frozen=True)
class Frame:
    """What is fixed of an artifact before anything is quantized.

    Attributes:
        schema: the fields; those with tables in the order of their bytes.
        dim: embedding size l.
        link: from logit to prediction, as ``str(Link)`` writes it.
        vocabulary_bytes: size of the vocabulary that it carries; 0 for none.

    Raises:
        UsageError: there is no such link, or there are too many numeric fields.
    """

    schema: Schema
    dim: int
    link: str
    vocabulary_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "link", str(self.link_function))
        if len(self.schema.numeric) * self.dim > _MAX_NUMERIC:
            raise UsageError(f"{len(self.schema.numeric):,} numeric fields are too many for embeddings of {self.dim}")

    @classmethod
    def of(cls, model: _Machine, *, vocabulary_bytes: int = 0) -> Frame:
        """Return the frame of a checkpoint's or a quantized model's artifact."""
        return cls(model.schema, model.dim, model.link, vocabulary_bytes)

    @property
    def link_function(self) -> Link:
        """The link, ready to be used."""
        return parse_link(self.link)

    @property
    def numeric(self) -> StoredTensor:
        """The tensor of the numeric fields: of each its linear weight, and its embedding unless it is linear only."""
        fields = self.schema.numeric
        embedded = sum(not field.linear_only for field in fields)
        return StoredTensor("numeric", "F32", len(fields) + embedded * self.dim)

    @property
    def vocabulary(self) -> StoredTensor:
        """The tensor of the vocabulary."""
        return StoredTensor("vocabulary", "U8", self.vocabulary_bytes)

    def tensors(self, values: int, codes: int) -> tuple[StoredTensor, ...]:
        """Return the tensors of an artifact with so many values and codes, in the order of their bytes."""
        every = (
            StoredTensor("bias", "F32", 1),
            self.numeric,
            StoredTensor("values", "F16", values),
            StoredTensor("codes", "U8", codes),
            self.vocabulary,
        )
        return tuple(tensor for tensor in every if tensor.size or tensor.name in _ALWAYS)
