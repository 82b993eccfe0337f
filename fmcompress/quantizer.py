"""How one field is stored: its quantizer, and the exact bytes that it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from fmcompress.errors import UsageError

MAX_CODEWORDS = 4096
"""Largest codebook: a code is at most 12 bits wide, so that five codes fit 64 bits."""

MAX_SUBSPACES = 256
"""Most subspaces that an embedding is cut into."""

VALUE_BYTES = 2
"""Codewords, raw rows and linear weights are stored in fp16."""

_RAW = "raw"
_SHARED = "shared"
_EQUAL = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,3})")


def code_bits(codewords: int) -> int:
    """Return the bits of a code that tells ``codewords`` codewords apart: ⌈log2 K⌉, 0 for one codeword."""
    return (codewords - 1).bit_length()


def subspace_bounds(dim: int, subspaces: int) -> list[tuple[int, int]]:
    """Return first and last + 1 coordinate of each subspace.

    The ``dim`` coordinates are cut into consecutive subspaces of equal size; where ``subspaces`` does not
    divide ``dim``, the first ``dim mod subspaces`` of them are one coordinate larger.
    """
    size, larger = divmod(dim, subspaces)
    ends = [d * size + min(d, larger) for d in range(subspaces + 1)]
    return list(pairwise(ends))


@dataclass(frozen=True)
class Quantizer:
    """How the embeddings and the linear weights of one field are stored.

    Attributes:
        codewords: codewords K of each subspace's codebook; empty for raw embeddings, which have no codebook.
        linear_codewords: codewords of the linear weights' codebook; 0 for raw linear weights.

    A shared vector is a codebook of one codeword for one subspace: its codes take no bits.
    """

    codewords: tuple[int, ...] = ()
    linear_codewords: int = 0

    @property
    def raw(self) -> bool:
        """Whether each category keeps an embedding of its own."""
        return not self.codewords

    @property
    def linear_raw(self) -> bool:
        """Whether each category keeps a linear weight of its own."""
        return self.linear_codewords == 0

    @property
    def embedding_code_bits(self) -> int:
        """Bits of a row's codes for the embedding, all subspaces together."""
        return sum(code_bits(k) for k in self.codewords)

    @property
    def row_bits(self) -> int:
        """Bits of a row's codes: those of the subspaces, then that of the linear weight."""
        return self.embedding_code_bits + self.linear_code_bits

    @property
    def linear_code_bits(self) -> int:
        """Bits of a row's code for the linear weight."""
        return 0 if self.linear_raw else code_bits(self.linear_codewords)

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each of a row's codes, in the order in which they are packed."""
        return tuple(map(code_bits, self.code_sizes))

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """How many codewords each of a row's codes chooses from, in the order in which they are packed."""
        return self.codewords if self.linear_raw else (*self.codewords, self.linear_codewords)

    def embedding_values(self, cardinality: int, dim: int) -> int:
        """Return how many numbers the raw embeddings or the codebooks hold."""
        if self.raw:
            return cardinality * dim
        bounds = subspace_bounds(dim, len(self.codewords))
        return sum(k * (end - start) for k, (start, end) in zip(self.codewords, bounds, strict=True))

    def linear_values(self, cardinality: int) -> int:
        """Return how many numbers the raw linear weights or their codebook hold."""
        return cardinality if self.linear_raw else self.linear_codewords

    def values(self, cardinality: int, dim: int) -> int:
        """Return how many fp16 numbers the field stores."""
        return self.embedding_values(cardinality, dim) + self.linear_values(cardinality)

    def code_bytes(self, cardinality: int) -> int:
        """Return the bytes of the field's packed codes."""
        return (cardinality * self.row_bits + 7) // 8

    def payload_bytes(self, cardinality: int, dim: int) -> int:
        """Return the bytes that the field takes in an artifact, its line in the header left out."""
        return VALUE_BYTES * self.values(cardinality, dim) + self.code_bytes(cardinality)


def embedding_spec(quantizer: Quantizer) -> str:
    """Return the short name of the embedding's quantizer: ``raw``, ``shared``, ``4x256`` or ``256,64,64,64``."""
    codewords = quantizer.codewords
    if not codewords:
        return _RAW
    if codewords == (1,):
        return _SHARED
    if len(set(codewords)) == 1:
        return f"{len(codewords)}x{codewords[0]}"
    return ",".join(map(str, codewords))


def linear_spec(quantizer: Quantizer) -> str:
    """Return the short name of the linear weights' quantizer: ``raw``, ``shared`` or the number of codewords."""
    if quantizer.linear_raw:
        return _RAW
    return _SHARED if quantizer.linear_codewords == 1 else str(quantizer.linear_codewords)


def parse_quantizer(embedding: str, linear: str) -> Quantizer:
    """Return the quantizer that two short names describe; the pair of ``embedding_spec`` and ``linear_spec``.

    Raises:
        UsageError: a name is none of them, or says in another way what has a name of its own; a codebook has
            more than ``MAX_CODEWORDS`` codewords, or there are more than ``MAX_SUBSPACES``.
    """
    quantizer = Quantizer(_parse_embedding(embedding), _parse_linear(linear))
    names = embedding_spec(quantizer), linear_spec(quantizer)
    if names != (embedding, linear):
        raise UsageError(f"quantizer {embedding!r}, {linear!r} is spelt {names[0]!r}, {names[1]!r}")
    return quantizer


def _parse_embedding(spec: str) -> tuple[int, ...]:
    if spec == _RAW:
        return ()
    if spec == _SHARED:
        return (1,)
    equal = _EQUAL.fullmatch(spec)
    parts = [equal[2]] * min(int(equal[1]), MAX_SUBSPACES + 1) if equal else spec.split(",")
    if len(parts) > MAX_SUBSPACES:
        raise UsageError(f"{spec[:40]!r} has more than {MAX_SUBSPACES} subspaces")
    return tuple(map(_codewords, parts))


def _parse_linear(spec: str) -> int:
    if spec == _RAW:
        return 0
    return 1 if spec == _SHARED else _codewords(spec)


def _codewords(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_CODEWORDS):
        raise UsageError(f"{text!r} is not a number of codewords from 1 to {MAX_CODEWORDS}")
    return int(text)
