"""Where everything lies in an artifact, and how its numbers are stored: the one place that knows the order of bytes.

Tables of numbers are stored in fp16, in int8 with a scale, or in fp32, as weights of numeric fields are. A number in
int8 is a whole one from -127 to 127, and stands for itself times the scale, an fp16 number.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from fmcompress.artifact.header import Header, tier_bits, tier_bytes
from fmcompress.artifact.metadata import Frame
from fmcompress.artifact.numbers import LARGEST_INT8, decode_int8, encode_half, int8_multiples, int8_scale
from fmcompress.fm.disk_table import Table, blocks, largest_number
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantizer import FLOAT, HALF, INT8, Quantizer
from fmcompress.fm.tiers import by_field
from fmcompress.types import AnyArray, Float16Array, Float32Array, UInt8Array


@dataclass(frozen=True)
class TableLayout:
    """Where a table lies.

    Attributes:
        shape: its shape.
        start: where it begins: in fp16 its first number in the values, else its first byte in the codes.
        value_bytes: bytes of a number: ``HALF``, ``INT8`` or ``FLOAT``.
        scale: its scale, in the values; None but in int8.
        largest: the largest whole number, where numbers are in int8.
    """

    shape: tuple[int, ...]
    start: int
    value_bytes: int = HALF
    scale: int | None = None
    largest: int = LARGEST_INT8

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that it takes, with its scale."""
        return self.value_bytes * self.size + (0 if self.scale is None else HALF)

    @property
    def in_values(self) -> bool:
        """Whether it lies in the values."""
        return self.value_bytes == HALF

    @property
    def rows(self) -> slice:
        """Its numbers in the values, or its bytes in the codes."""
        return slice(self.start, self.start + (1 if self.in_values else self.value_bytes) * self.size)


@dataclass(frozen=True)
class TierLayout:
    """Where one tier of a field lies, or all of a field that is not split.

    Attributes:
        quantizer: how it is stored.
        cardinality: its number of categories.
        tables: each codebook, or the raw embeddings.
        linear: the linear weights' table; of no numbers where there are none.
        code_start: start of the bit stream in the codes, in bytes.
        code_bytes: size of the stream.
    """

    quantizer: Quantizer
    cardinality: int
    tables: tuple[TableLayout, ...]
    linear: TableLayout
    code_start: int
    code_bytes: int

    @property
    def all_tables(self) -> tuple[TableLayout, ...]:
        """The tables in the order of their bytes, that of the linear weights last, if there are any."""
        return (*self.tables, self.linear) if self.quantizer.has_linear else self.tables

    @property
    def stream(self) -> slice:
        """The bit stream in the codes."""
        return slice(self.code_start, self.code_start + self.code_bytes)


@dataclass(frozen=True)
class FieldLayout:
    """Where one field lies.

    Attributes:
        sizes: categories in each tier.
        tier_start: start of the stream that tells the tiers of the categories in the codes, in bytes.
        tier_bytes: size of that stream; 0 for one tier.
        tiers: each of its tiers.
    """

    sizes: tuple[int, ...]
    tier_start: int
    tier_bytes: int
    tiers: tuple[TierLayout, ...]

    @property
    def tier_stream(self) -> slice:
        """The stream of the tiers in the codes."""
        return slice(self.tier_start, self.tier_start + self.tier_bytes)

    @property
    def tier_widths(self) -> tuple[int, ...]:
        """Bits of a category's tier in the stream."""
        return (tier_bits(self.sizes),)


def field_layouts(header: Header) -> Iterator[FieldLayout]:
    """Yield where each field lies."""
    walk, dims = _Walk(), header.frame.vector_sizes
    of_fields = zip(dims, header.tier_sizes, by_field(header.quantizers, header.tier_sizes), strict=True)
    for dim, sizes, quantizers in of_fields:
        yield walk.field(dim, sizes, quantizers)


def tier_layouts(header: Header) -> Iterator[TierLayout]:
    """Yield where each tier lies, field by field."""
    for field in field_layouts(header):
        yield from field.tiers


class _Walk:
    """Goes through the values and the codes."""

    def __init__(self) -> None:
        self._value = self._code = 0

    def field(self, dim: int, sizes: tuple[int, ...], quantizers: Sequence[Quantizer]) -> FieldLayout:
        size = tier_bytes(sizes)
        start = self._codes(size)
        tiers = zip(sizes, quantizers, strict=True)
        return FieldLayout(sizes, start, size, tuple(self._tier(dim, *tier) for tier in tiers))

    def _tier(self, dim: int, cardinality: int, quantizer: Quantizer) -> TierLayout:
        largest = quantizer.largest_integer
        tables = [self._table(shape, quantizer, largest) for shape in quantizer.table_shapes(cardinality, dim)]
        shape = (quantizer.linear_values(cardinality),)
        linear = self._table(shape, quantizer) if quantizer.has_linear else TableLayout(shape, 0)
        size = quantizer.code_bytes(cardinality)
        return TierLayout(quantizer, cardinality, tuple(tables), linear, self._codes(size), size)

    def _table(self, shape: tuple[int, ...], quantizer: Quantizer, largest: int = LARGEST_INT8) -> TableLayout:
        size = math.prod(shape)
        if quantizer.value_bytes == INT8:
            return TableLayout(shape, self._codes(size), INT8, self._values(1), largest)
        if quantizer.value_bytes == FLOAT:
            return TableLayout(shape, self._codes(FLOAT * size), FLOAT)
        return TableLayout(shape, self._values(size))

    def _values(self, count: int) -> int:
        """Return where the next values begin."""
        self._value += count
        return self._value - count

    def _codes(self, count: int) -> int:
        self._code += count
        return self._code - count


def write_tables(tables: Sequence[Table], tier: TierLayout, values: Float16Array, codes: UInt8Array) -> None:
    """Store the tables of a tier at their places.

    Args:
        tables: float32 of the places' shapes; raw embeddings may be on the disk.
        tier: where they lie.
        values: the artifact's values, float16 (values,).
        codes: its codes, uint8 (bytes,).
    """
    common = None
    if tier.quantizer.common_scale:
        common = max(map(largest_number, tables[: len(tier.tables)]))
    for table, place in zip(tables, tier.all_tables, strict=True):
        write_table(table, place, values, codes, None if place is tier.linear else common)


def write_table(
    table: Table, place: TableLayout, values: Float16Array, codes: UInt8Array, largest: float | None = None
) -> None:
    """Store a table at its place.

    Args:
        table: float32 of the place's shape; raw embeddings may be on the disk.
        place: where it lies.
        values: the artifact's values, float16 (values,).
        codes: its codes, uint8 (bytes,).
        largest: the largest size of the numbers that have its scale; None where it has its own.
    """
    scale = None
    if place.scale is not None:
        scale = values[place.scale] = int8_scale(largest_number(table) if largest is None else largest, place.largest)
    stored = stored_numbers(place, values, codes)
    for start, block in blocks(table):
        own = stored[start : start + len(block)]
        if scale is not None:
            own[...] = int8_multiples(block, scale, place.largest)
        else:
            own[...] = encode_half(block) if place.in_values else block


def read_table(place: TableLayout, values: Float16Array, codes: UInt8Array) -> Float32Array:
    """Return a table from its place, float32 of its shape: the inverse of ``write_tables``, after its rounding."""
    numbers = stored_numbers(place, values, codes)
    return numbers.astype(np.float32) if place.scale is None else decode_int8(numbers, values[place.scale])


def stored_numbers(place: TableLayout, values: Float16Array, codes: UInt8Array) -> AnyArray:
    """Return a table as it is stored: a view, float16, int8 or float32 of its shape, at any address.

    Args:
        place: where it lies.
        values: the artifact's values, float16 (values,).
        codes: its codes, uint8 (bytes,).
    """
    if place.in_values:
        return values[place.rows].reshape(place.shape)
    return codes[place.rows].view(np.int8 if place.value_bytes == INT8 else "<f4").reshape(place.shape)


def encode_numeric(weights: NumericWeights, frame: Frame) -> Float32Array:
    """Return the numbers of the tensor, float32 (numbers,): of each field w, then v unless it is linear only."""
    fields = zip(frame.schema.numeric, weights.linear, weights.embeddings, strict=True)
    numbers = [own for field, w, v in fields for own in ([w], v[: 0 if field.linear_only else None])]
    return np.concatenate([np.empty(0), *numbers]).astype("<f4")


def decode_numeric(numbers: Float32Array, frame: Frame) -> NumericWeights:
    """Return the weights of the tensor's numbers, float32 (numbers,): the inverse of ``encode_numeric``."""
    fields = frame.schema.numeric
    embedded = np.array([not field.linear_only for field in fields], dtype=np.bool_)
    sizes = np.where(embedded, frame.dim + 1, 1)
    starts = np.array(list(accumulate(sizes.tolist(), initial=0))[:-1], dtype=np.int64)
    embeddings = np.zeros((len(fields), frame.dim), dtype=np.float32)
    embeddings[embedded] = numbers[starts[embedded, None] + np.arange(1, frame.dim + 1)]
    return NumericWeights(numbers[starts].astype(np.float32), embeddings)
