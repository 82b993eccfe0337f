"""How one field is stored: its quantizer, and the exact bytes that it takes."""

import math
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from fmcompress.errors import UsageError

MAX_CODEWORDS = 4096
"""Largest codebook: a code is at most 12 bits wide, so that five codes fit 64 bits."""

MAX_SUBSPACES = 256
"""Most subspaces that an embedding is cut into."""

FLOAT = 4
"""Bytes of a codeword's coordinate, a raw one or a linear weight in fp32."""

HALF = 2
"""Bytes of one in fp16; scales are always stored so."""

INT8 = 1
"""Bytes of one in int8: a whole number from -127 to 127, times the scale of its table."""

NO_LINEAR = -1
"""Codewords of linear weights where there are none: in tables of vectors of other models."""

INTEGER_BITS = (8, 6, 5, 4, 3, 2)
"""Bits of a whole number in a table; fewer than 8 in the compact layout alone. In memory it takes a byte."""

_RAW = "raw"
_SHARED = "shared"
_SUFFIXES = {HALF * 8: "", FLOAT * 8: ":32"} | {bits: f":{bits}" for bits in INTEGER_BITS}
"""What follows the name, by the bits of a number."""

_DIGITS = "b"
_BITS = "0123456789abc"
_UNCODED = {_RAW: 0, _SHARED: 1}
"""Codewords of what has no codes."""

_NO_LINEAR_SPEC = ""

_UNEQUAL = re.compile(r"b([0-9a-c]+)")
_EQUAL = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,3})")


@cache
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
        linear_codewords: codewords of the linear weights' codebook; 0 for raw linear weights, ``NO_LINEAR`` for none.
        value_bytes: bytes of a number in the tables: ``FLOAT``, ``HALF``, or ``INT8`` with a scale for each table.
        integer_bits: of a number of embeddings in int8, one of ``INTEGER_BITS``: its range, and what it takes in the
            compact layout. Where there are fewer than 8, all tables of the field have the same scale.

    A shared vector is a codebook of one codeword for one subspace: its codes take no bits.
    """

    codewords: tuple[int, ...] = ()
    linear_codewords: int = 0
    value_bytes: int = HALF
    integer_bits: int = INT8 * 8

    @property
    def value_bits(self) -> int:
        """Bits of a number in the tables."""
        return self.integer_bits if self.value_bytes == INT8 else 8 * self.value_bytes

    @property
    def largest_integer(self) -> int:
        """The largest whole number of a table, where numbers are whole ones."""
        return largest_integer(self.integer_bits)

    @property
    def common_scale(self) -> bool:
        """Whether all tables of the embeddings have the same scale."""
        return self.value_bytes == INT8 and self.integer_bits < 8 * INT8

    @property
    def raw(self) -> bool:
        """Whether each category keeps an embedding of its own."""
        return not self.codewords

    @property
    def linear_raw(self) -> bool:
        """Whether each category keeps a linear weight of its own."""
        return self.linear_codewords == 0

    @property
    def has_linear(self) -> bool:
        """Whether there are linear weights at all."""
        return self.linear_codewords != NO_LINEAR

    @property
    def embedding_code_bits(self) -> int:
        """Bits of a row's codes for the embedding, all subspaces together."""
        return sum(code_bits(k) for k in self.codewords)

    @property
    def row_bits(self) -> int:
        """Bits of a row's codes: those of the subspaces, then that of the linear weight."""
        return sum(self.widths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of each of a row's codes, in the order in which they are packed."""
        return tuple(map(code_bits, self.code_sizes))

    @property
    def code_sizes(self) -> tuple[int, ...]:
        """How many codewords each of a row's codes chooses from, in the order in which they are packed."""
        return (*self.codewords, self.linear_codewords) if self.linear_codewords > 0 else self.codewords

    def table_shapes(self, cardinality: int, dim: int) -> list[tuple[int, int]]:
        """Return the shape of each of a field's tables: its codebooks, or the one of its raw embeddings."""
        if self.raw:
            return [(cardinality, dim)]
        bounds = subspace_bounds(dim, len(self.codewords))
        return [(k, end - start) for k, (start, end) in zip(self.codewords, bounds, strict=True)]

    def embedding_values(self, cardinality: int, dim: int) -> int:
        """Return how many numbers the raw embeddings or the codebooks hold."""
        return sum(map(math.prod, self.table_shapes(cardinality, dim)))

    def linear_values(self, cardinality: int) -> int:
        """Return how many numbers the raw linear weights or their codebook hold."""
        return cardinality if self.linear_raw else max(0, self.linear_codewords)

    def values(self, cardinality: int, dim: int) -> int:
        """Return how many numbers the tables of the field hold, scales left out."""
        return self.embedding_values(cardinality, dim) + self.linear_values(cardinality)

    @property
    def scales(self) -> int:
        """How many scales the field stores: one for each table in int8, that of the linear weights last."""
        return max(1, len(self.codewords)) + self.has_linear if self.value_bytes == INT8 else 0

    def code_bytes(self, cardinality: int) -> int:
        """Return the bytes of the field's packed codes."""
        return (cardinality * self.row_bits + 7) // 8

    def payload_bytes(self, cardinality: int, dim: int) -> int:
        """Return the bytes that the field takes in memory and in a plain artifact, its line in the header left out."""
        stored = self.value_bytes * self.values(cardinality, dim) + HALF * self.scales
        return stored + self.code_bytes(cardinality)

    def compact_bytes(self, cardinality: int, dim: int) -> int:
        """Return the bytes that the field takes in a compact artifact at most: numbers take no more bits than needed.

        Whole numbers of fewer than 8 bits in embeddings are one stream of bits, and all tables of the field have one
        scale. Linear weights have 8 bits and a scale of their own.
        """
        embeddings = self.embedding_bytes(self.embedding_values(cardinality, dim))
        return embeddings + self.linear_bytes(cardinality) + self.code_bytes(cardinality)

    def embedding_bytes(self, values: int) -> int:
        """Return the bytes of so many numbers of embeddings in a compact artifact, with their scales."""
        scales = 0 if self.value_bytes != INT8 else 1 if self.common_scale else max(1, len(self.codewords))
        return (self.value_bits * values + 7) // 8 + HALF * scales

    def linear_bytes(self, cardinality: int) -> int:
        """Return the bytes of the linear weights' table, with its scale if it has one."""
        scales = self.has_linear and self.value_bytes == INT8
        return self.value_bytes * self.linear_values(cardinality) + HALF * scales


def largest_integer(bits: int) -> int:
    """Return the largest whole number of so many bits, one of them for its sign; the least one is as far from 0."""
    return (1 << (bits - 1)) - 1


def embedding_spec(quantizer: Quantizer) -> str:
    """Return the short name of the embedding's quantizer.

    ``raw``, ``shared``, ``4x256``; for subspaces of different sizes one digit each, its code's bits in hexadecimal
    (``b8866``), or where a size is no power of two the sizes themselves (``256,100``). ``:8`` follows for int8,
    ``:2`` to ``:6`` for whole numbers of fewer bits, ``:32`` for fp32.
    """
    return _sizes_spec(quantizer.codewords) + _SUFFIXES[quantizer.value_bits]


def _sizes_spec(codewords: tuple[int, ...]) -> str:
    if not codewords:
        return _RAW
    if codewords == (1,):
        return _SHARED
    if len(set(codewords)) == 1:
        return f"{len(codewords)}x{codewords[0]}"
    if all(size == 1 << code_bits(size) for size in codewords):
        return _DIGITS + "".join(_BITS[code_bits(size)] for size in codewords)
    return ",".join(map(str, codewords))


def linear_spec(quantizer: Quantizer) -> str:
    """Return the short name of the linear weights' quantizer: ``raw``, ``shared`` or the number of codewords.

    Where there are no linear weights that is empty.
    """
    if quantizer.linear_raw:
        return _RAW
    if not quantizer.has_linear:
        return _NO_LINEAR_SPEC
    return _SHARED if quantizer.linear_codewords == 1 else str(quantizer.linear_codewords)


def parse_quantizer(embedding: str, linear: str | None = None) -> Quantizer:
    """Return the quantizer that two short names describe; the pair of ``embedding_spec`` and ``linear_spec``.

    Without a name for linear weights there are none.

    The first artifacts say ``256,64,64,64`` for what is ``b8666`` now; both are understood.

    Raises:
        UsageError: a name is none of them, or says in another way what has a name of its own; a codebook has
            more than ``MAX_CODEWORDS`` codewords, or there are more than ``MAX_SUBSPACES``.
    """
    bits = next((bits for bits, suffix in _SUFFIXES.items() if suffix and embedding.endswith(suffix)), HALF * 8)
    value_bytes, integer_bits = (bits // 8, INT8 * 8) if bits > INT8 * 8 else (INT8, bits)
    sizes = embedding.removesuffix(_SUFFIXES[bits])
    if linear is None:
        linear, linear_codewords = _NO_LINEAR_SPEC, NO_LINEAR
    else:
        linear_codewords = _UNCODED[linear] if linear in _UNCODED else _codewords(linear)
    quantizer = Quantizer(_parse_sizes(sizes), linear_codewords, value_bytes, integer_bits)
    names = embedding_spec(quantizer), linear_spec(quantizer)
    listed = ",".join(map(str, quantizer.codewords)), names[1]
    if names != (embedding, linear) and not (names[0].startswith(_DIGITS) and listed == (embedding, linear)):
        raise UsageError(f"quantizer {embedding!r}, {linear!r} is spelt {names[0]!r}, {names[1]!r}")
    return quantizer


def _parse_sizes(spec: str) -> tuple[int, ...]:
    if spec in _UNCODED:
        return (1,) * _UNCODED[spec]
    equal, bits = _EQUAL.fullmatch(spec), _UNEQUAL.fullmatch(spec)
    if bits:
        sizes = [str(1 << _BITS.index(digit)) for digit in bits[1]]
    else:
        sizes = [equal[2]] * min(int(equal[1]), MAX_SUBSPACES + 1) if equal else spec.split(",")
    if len(sizes) > MAX_SUBSPACES:
        raise UsageError(f"{spec[:40]!r} has more than {MAX_SUBSPACES} subspaces")
    return tuple(map(_codewords, sizes))


def _codewords(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_CODEWORDS):
        raise UsageError(f"{text!r} is not a number of codewords from 1 to {MAX_CODEWORDS}")
    return int(text)
