"""Where everything lies in an artifact: the one place that knows the order of its bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fmcompress.artifact.counting import tier_bits, tier_bytes
from fmcompress.artifact.header import Header
from fmcompress.fm.quantized import table_shapes
from fmcompress.fm.quantizer import HALF, INT8, Quantizer
from fmcompress.fm.tiers import by_field


@dataclass(frozen=True)
class TableLayout:
    """Where a table lies.

    Attributes:
        shape: its shape.
        start: its first number: in the values where it is stored in fp16, in the codes where in int8.
        scale: its scale, in the values; None in fp16.
    """

    shape: tuple[int, ...]
    start: int
    scale: int | None = None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, with its scale."""
        return HALF * self.size if self.scale is None else INT8 * self.size + HALF

    @property
    def rows(self) -> slice:
        """Its numbers in the values or in the codes."""
        return slice(self.start, self.start + self.size)


@dataclass(frozen=True)
class PartLayout:
    """Where one part lies: a field, or one tier of it.

    Attributes:
        quantizer: how it is stored.
        cardinality: its number of categories.
        tables: each codebook, or the raw embeddings.
        linear: the linear weights' table.
        code_start: start of the bit stream in the codes, in bytes.
        code_bytes: size of the stream.
    """

    quantizer: Quantizer
    cardinality: int
    tables: tuple[TableLayout, ...]
    linear: TableLayout
    code_start: int
    code_bytes: int


@dataclass(frozen=True)
class FieldLayout:
    """Where one field lies.

    Attributes:
        sizes: categories in each tier.
        tier_start: start of the stream that tells the tiers of the categories in the codes, in bytes.
        tier_bytes: size of that stream; 0 for one tier.
        parts: the tiers.
    """

    sizes: tuple[int, ...]
    tier_start: int
    tier_bytes: int
    parts: tuple[PartLayout, ...]

    @property
    def tier_widths(self) -> tuple[int, ...]:
        """Bits of a category's tier in the stream."""
        return (tier_bits(self.sizes),)


def field_layouts(header: Header) -> Iterator[FieldLayout]:
    """Yield where each field lies."""
    walk = _Walk(header.dim)
    for sizes, quantizers in zip(header.tier_sizes, by_field(header.quantizers, header.tier_sizes), strict=True):
        yield walk.field(sizes, quantizers)


def part_layouts(header: Header) -> Iterator[PartLayout]:
    """Yield where each part lies, field by field, tier by tier."""
    for field in field_layouts(header):
        yield from field.parts


class _Walk:
    """Goes through the values and the codes."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._value = self._code = 0

    def field(self, sizes: tuple[int, ...], quantizers: Sequence[Quantizer]) -> FieldLayout:
        tier_start, size = self._code, tier_bytes(sizes)
        self._code += size
        return FieldLayout(sizes, tier_start, size, tuple(map(self._part, sizes, quantizers)))

    def _part(self, cardinality: int, quantizer: Quantizer) -> PartLayout:
        shapes = [*table_shapes(quantizer, cardinality, self._dim), (quantizer.linear_values(cardinality),)]
        *tables, linear = [self._table(shape, quantizer) for shape in shapes]
        code_start, code_bytes = self._code, quantizer.code_bytes(cardinality)
        self._code += code_bytes
        return PartLayout(quantizer, cardinality, tuple(tables), linear, code_start, code_bytes)

    def _table(self, shape: tuple[int, ...], quantizer: Quantizer) -> TableLayout:
        if quantizer.value_bytes == INT8:
            table = TableLayout(shape, self._code, self._value)
            self._code += table.size
            self._value += 1
        else:
            table = TableLayout(shape, self._value)
            self._value += table.size
        return table
