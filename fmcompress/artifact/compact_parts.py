"""The parts of a compact artifact: streams of tiers, tables, codes and dense layers, each as it is or entropy coded.

In memory they are what a plain artifact holds. ``docs/format.md`` is the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fmcompress.artifact.bitpack import pack, unpack
from fmcompress.artifact.byte_reader import ByteReader
from fmcompress.artifact.coding_models import (
    bits_of,
    code_frequencies,
    describe_codes,
    describe_integers,
    frequencies_of,
    integer_frequencies,
)
from fmcompress.artifact.compact_entries import CodedTier
from fmcompress.artifact.compact_header import Coding
from fmcompress.artifact.header import Header
from fmcompress.artifact.layout import FieldLayout, TableLayout, TierLayout, field_layouts, stored_numbers
from fmcompress.artifact.numbers import LARGEST_INT8
from fmcompress.fm.quantizer import HALF, INT8
from fmcompress.types import AnyArray, Float16Array, Int64Array, UInt8Array, UInt16Array

_ONE, _BY_COORDINATE, _BY_TABLE = range(3)
"""How many models the numbers of embedding tables have."""

CodedRun = tuple[UInt16Array, Int64Array]
"""Symbols, uint16 (n,), and the frequencies of all, int64 (K,)."""


@dataclass(frozen=True)
class Stored:
    """What an artifact holds, as a plain one stores it.

    Attributes:
        header: fields, tiers and quantizers.
        values: float16 (values,).
        codes: uint8 (bytes,).
        network: dense layers, uint8 (bytes,); empty for none.
    """

    header: Header
    values: Float16Array
    codes: UInt8Array
    network: UInt8Array


@dataclass(frozen=True)
class Part:
    """One part of an artifact, in both forms.

    Attributes:
        plain: as it is, arrays (numbers,) of any dtype.
        models: the bytes of the models with which it is coded.
        runs: what is coded; empty where it cannot be.
        linear_runs: of these, how many at the end are of linear weights.
        linear_bytes: what belongs to linear weights where it is as it is.
    """

    plain: Sequence[AnyArray]
    models: bytes = b""
    runs: Sequence[CodedRun] = ()
    linear_runs: int = 0
    linear_bytes: int = 0

    @property
    def plain_bytes(self) -> int:
        """Bytes that it takes as it is."""
        return sum(array.nbytes for array in self.plain)

    @cached_property
    def run_bytes(self) -> Sequence[float]:
        """Bytes that each run takes coded, nearly, models counted in."""
        model = len(self.models) / max(1, len(self.runs))
        found = (
            bits_of(np.bincount(symbols, minlength=len(frequencies)), frequencies) for symbols, frequencies in self.runs
        )
        return [bits / 8 + model for bits in found]

    @property
    def coded_bytes(self) -> float:
        """Bytes that it takes coded, nearly."""
        return sum(self.run_bytes)

    @property
    def pays(self) -> bool:
        """Whether coded it takes fewer bytes."""
        if not self.runs:
            return False
        return self.coded_bytes < self.plain_bytes


@dataclass(frozen=True)
class TierParts:
    """The parts of a tier.

    Attributes:
        scales: of its tables, float16 (numbers,); always as they are.
        tables: its embedding tables.
        linear: the table of its linear weights.
        codes: its codes.
    """

    scales: Float16Array
    tables: Part
    linear: Part
    codes: Part


def stream_part(field: FieldLayout, codes: UInt8Array) -> Part:
    """Return the stream of a field's tiers, of codes, uint8 (bytes,); of nothing where it has one tier."""
    stream = codes[field.tier_stream]
    if not field.tier_bytes:
        return Part(())
    tiers = unpack(stream, sum(field.sizes), field.tier_widths)[:, 0]
    return Part((stream,), b"", [(tiers, frequencies_of(np.array(field.sizes)))])


def tier_parts(tier: TierLayout, stored: Stored) -> TierParts:
    """Return the parts of a tier."""
    return TierParts(_scales(tier, stored.values), _tables(tier, stored), _linear(tier, stored), _codes(tier, stored))


def _scales(tier: TierLayout, values: Float16Array) -> Float16Array:
    places = [table.scale for table in tier.all_tables if table.scale is not None]
    if tier.quantizer.common_scale:
        places = [places[0], *places[len(tier.tables) :]]
    return values[places].astype("<f2")


def _numbers(table: TableLayout, stored: Stored) -> AnyArray:
    return stored_numbers(table, stored.values, stored.codes)


def _symbols(numbers: AnyArray, largest: int) -> UInt16Array:
    return (numbers.astype(np.int16) + largest).astype(np.uint16)


def _tables(tier: TierLayout, stored: Stored) -> Part:
    arrays = [_numbers(table, stored) for table in tier.tables]
    if tier.quantizer.value_bytes != INT8:
        return Part([np.ascontiguousarray(array).reshape(-1) for array in arrays])
    largest = tier.quantizer.largest_integer
    plain: list[AnyArray] = [array.reshape(-1) for array in arrays]
    symbols = [_symbols(array, largest) for array in arrays]
    if tier.quantizer.common_scale:
        every = np.concatenate([own.reshape(-1) for own in symbols])
        plain = [pack(every[:, None], (tier.quantizer.integer_bits,))]
    columns = [own[:, place] for own in symbols for place in range(own.shape[1])]
    groups = {
        _ONE: [np.concatenate(columns)],
        _BY_COORDINATE: columns,
        _BY_TABLE: [own.T.reshape(-1) for own in symbols],
    }
    found = [_integer_part(plain, own, largest, bytes((mode,))) for mode, own in groups.items()]
    return min(found, key=lambda part: part.coded_bytes)


def _integer_part(plain: Sequence[AnyArray], groups: Sequence[UInt16Array], largest: int, first: bytes = b"") -> Part:
    """Return a part of numbers, one model for each group of their symbols, uint16 (n,)."""
    models = [describe_integers(np.bincount(own, minlength=2 * largest + 1)) for own in groups]
    runs = [(own, integer_frequencies(byte, largest)) for own, byte in zip(groups, models, strict=True)]
    return Part(plain, first + bytes(models), runs)


def _linear(tier: TierLayout, stored: Stored) -> Part:
    if not tier.quantizer.has_linear:
        return Part(())
    numbers = _numbers(tier.linear, stored)
    plain = [np.ascontiguousarray(numbers).reshape(-1)]
    if tier.quantizer.value_bytes != INT8:
        return Part(plain)
    return _integer_part(plain, [_symbols(numbers, LARGEST_INT8)], LARGEST_INT8)


def _codes(tier: TierLayout, stored: Stored) -> Part:
    stream, sizes = stored.codes[tier.stream], tier.quantizer.code_sizes
    if not tier.code_bytes:
        return Part(())
    every = unpack(stream, tier.cardinality, tier.quantizer.widths)
    models, runs = b"", []
    for column, size in enumerate(sizes):
        if size > 1:
            symbols = np.ascontiguousarray(every[:, column])
            model = describe_codes(np.bincount(symbols, minlength=size))
            models += model
            runs.append((symbols, code_frequencies(model, 0, size)[0]))
    linear = tier.quantizer.linear_codewords > 1
    embedding_bytes = (tier.cardinality * tier.quantizer.embedding_code_bits + 7) // 8
    return Part((stream,), models, runs, int(linear), tier.code_bytes - embedding_bytes)


def layer_parts(header: Header, network: UInt8Array) -> Iterator[tuple[UInt8Array, Part]]:
    """Yield of each dense layer its biases and scales, uint8 (bytes,), and its weights."""
    for size, weights, value_bytes in _layers(header):
        head, rest, network = network[:size], network[size : size + weights], network[size + weights :]
        if value_bytes == INT8:
            yield head, _integer_part([rest], [_symbols(rest.view(np.int8), LARGEST_INT8)], LARGEST_INT8)
        else:
            yield head, Part([rest])


def _layers(header: Header) -> Iterator[tuple[int, int, int]]:
    """Yield of each dense layer the bytes of its biases and scales, those of its weights, and those of one weight."""
    stored = header.frame.network
    if stored is None:
        return
    for layer, inputs in stored.with_inputs(header.schema, header.dim):
        weights = layer.outputs * inputs * layer.value_bytes
        yield layer.nbytes(inputs) - weights, weights, layer.value_bytes


@dataclass(frozen=True)
class PartCost:
    """What a part takes, nearly.

    Attributes:
        nbytes: what belongs to embeddings, or to nothing in particular.
        linear: what belongs to linear weights.
        coded: whether it is entropy coded.
    """

    nbytes: float
    linear: float
    coded: bool


class Gathered:
    """Takes parts one after the other, and has their bytes at the end."""

    def __init__(self, *, coding: bool) -> None:
        """Begin with nothing; without ``coding`` all parts stay as they are."""
        self._coding = coding
        self.models = b""
        self.plain: list[AnyArray] = []
        self.runs: list[CodedRun] = []
        self.uncoded_bytes = 0
        self.costs: list[PartCost] = []

    def take(self, part: Part) -> bool:
        """Take a part, coded where that pays; return whether it is."""
        if not (self._coding and part.pays):
            self.plain += part.plain
            self.costs.append(PartCost(part.plain_bytes - part.linear_bytes, part.linear_bytes, coded=False))
            return False
        self.models += part.models
        self.runs += part.runs
        self.uncoded_bytes += part.plain_bytes
        linear = sum(part.run_bytes[len(part.runs) - part.linear_runs :])
        self.costs.append(PartCost(part.coded_bytes - linear, linear, coded=True))
        return True


def gather(stored: Stored, *, coding: bool) -> tuple[Coding, Gathered]:
    """Return all parts, those that pay entropy coded, and which ones these are.

    Args:
        stored: what the artifact holds.
        coding: whether anything may be coded.
    """
    found = Gathered(coding=coding)
    streams, tiers, layers = [], [], []
    for field in field_layouts(stored.header):
        streams.append(found.take(stream_part(field, stored.codes)))
        for tier in field.tiers:
            parts = tier_parts(tier, stored)
            found.plain.append(parts.scales)
            tables, linear = found.take(parts.tables), found.take(parts.linear)
            tiers.append(CodedTier(found.take(parts.codes), tables, linear))
    for head, weights in layer_parts(stored.header, stored.network):
        found.plain.append(head)
        layers.append(found.take(weights))
    return Coding(tuple(streams), tuple(tiers), tuple(layers)), found


@dataclass(frozen=True)
class Wanted:
    """A part to be read: so many bytes as they are, or runs of symbols.

    Attributes:
        nbytes: of a part as it is; 0 for a coded one.
        runs: of each run its number of symbols, and the frequencies, int64 (K,).
        put: puts the bytes, uint8 (bytes,), where they belong.
        fill: does that with symbols, uint16 (n,) of each run.
    """

    nbytes: int
    runs: Sequence[tuple[int, Int64Array]]
    put: Callable[[Stored, UInt8Array], None]
    fill: Callable[[Stored, Sequence[UInt16Array]], None]


def wanted_parts(header: Header, coding: Coding, models: ByteReader) -> Iterator[Wanted]:
    """Yield the parts of an artifact in their order.

    Args:
        header: fields, tiers and quantizers.
        coding: which parts are coded.
        models: the bytes of their models; afterwards they are behind these.

    Raises:
        ValueError: models make no sense.
    """
    tiers = iter(coding.tiers)
    for field, stream in zip(field_layouts(header), coding.streams, strict=True):
        if field.tier_bytes:
            yield _wanted_stream(field, coded=stream)
        for tier in field.tiers:
            coded = next(tiers)
            yield _wanted_scales(tier)
            yield _wanted_tables(tier, models, coded=coded.tables)
            if tier.quantizer.has_linear:
                yield _wanted_linear(tier, models, coded=coded.linear)
            if tier.code_bytes or coded.codes:
                yield _wanted_codes(tier, models, coded=coded.codes)
    start = 0
    for (head, weights, _), own in zip(_layers(header), coding.layers, strict=True):
        yield _wanted_bytes(start, head)
        yield _wanted_weights(start + head, weights, models, coded=own)
        start += head + weights


def _nothing(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
    """Put nothing anywhere."""


def _wanted_stream(field: FieldLayout, *, coded: bool) -> Wanted:
    def put(stored: Stored, data: UInt8Array) -> None:
        stored.codes[field.tier_stream] = data

    def fill(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
        stored.codes[field.tier_stream] = pack(symbols[0][:, None], field.tier_widths)

    runs = [(sum(field.sizes), frequencies_of(np.array(field.sizes)))] if coded else []
    return Wanted(0 if coded else field.tier_bytes, runs, put, fill)


def _wanted_scales(tier: TierLayout) -> Wanted:
    places = [table.scale for table in tier.all_tables if table.scale is not None]
    own = list(range(len(places)))
    if tier.quantizer.common_scale:
        own = [max(0, place - len(tier.tables) + 1) for place in own]
    count = 1 + max(own, default=-1)

    def put(stored: Stored, data: UInt8Array) -> None:
        stored.values[places] = data.view("<f2")[own]

    return Wanted(HALF * count, [], put, _nothing)


def _put_numbers(table: TableLayout, stored: Stored, data: UInt8Array) -> None:
    target = stored.values if table.in_values else stored.codes
    target[table.rows] = data.view("<f2") if table.in_values else data


def _wanted_tables(tier: TierLayout, models: ByteReader, *, coded: bool) -> Wanted:
    largest, bits = tier.quantizer.largest_integer, tier.quantizer.integer_bits
    sizes = [table.size for table in tier.tables]
    numbers = sum(sizes)

    def put(stored: Stored, data: UInt8Array) -> None:
        if tier.quantizer.common_scale:
            found = unpack(data, numbers, (bits,))[:, 0].astype(np.int16) - largest
            data = found.astype(np.int8).view(np.uint8)
        at = 0
        for table in tier.tables:
            size = table.size * table.value_bytes
            _put_numbers(table, stored, data[at : at + size])
            at += size

    def fill(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
        every, at = np.concatenate(symbols), 0
        for table in tier.tables:
            columns = every[at : at + table.size].reshape(table.shape[::-1])
            _numbers(table, stored)[...] = columns.T.astype(np.int16) - largest
            at += table.size

    if not coded:
        nbytes = (bits * numbers + 7) // 8 if tier.quantizer.common_scale else tier.quantizer.value_bytes * numbers
        return Wanted(nbytes, [], put, fill)
    mode = models.byte()
    groups = {
        _ONE: [numbers],
        _BY_COORDINATE: [table.shape[0] for table in tier.tables for _ in range(table.shape[1])],
        _BY_TABLE: sizes,
    }
    if mode not in groups:
        raise ValueError("models")
    return Wanted(0, [(n, integer_frequencies(models.byte(), largest)) for n in groups[mode]], put, fill)


def _wanted_linear(tier: TierLayout, models: ByteReader, *, coded: bool) -> Wanted:
    table = tier.linear

    def put(stored: Stored, data: UInt8Array) -> None:
        _put_numbers(table, stored, data)

    def fill(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
        _numbers(table, stored)[...] = symbols[0].astype(np.int16) - LARGEST_INT8

    runs = [(table.size, integer_frequencies(models.byte(), LARGEST_INT8))] if coded else []
    return Wanted(0 if coded else table.size * table.value_bytes, runs, put, fill)


def _wanted_codes(tier: TierLayout, models: ByteReader, *, coded: bool) -> Wanted:
    sizes = tier.quantizer.code_sizes
    own = [column for column, size in enumerate(sizes) if size > 1]

    def put(stored: Stored, data: UInt8Array) -> None:
        stored.codes[tier.stream] = data

    def fill(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
        every = np.zeros((tier.cardinality, len(sizes)), dtype=np.uint16)
        for column, found in zip(own, symbols, strict=True):
            every[:, column] = found
        stored.codes[tier.stream] = pack(every, tier.quantizer.widths)

    if not coded:
        return Wanted(tier.code_bytes, [], put, fill)
    if not own:
        raise ValueError("codes that there are none of")
    return Wanted(0, [(tier.cardinality, _code_model(models, sizes[column])) for column in own], put, fill)


def _code_model(models: ByteReader, size: int) -> Int64Array:
    frequencies, end = code_frequencies(models.data, models.at, size)
    models.take(end - models.at)
    return frequencies


def _wanted_bytes(start: int, size: int) -> Wanted:
    def put(stored: Stored, data: UInt8Array) -> None:
        stored.network[start : start + size] = data

    return Wanted(size, [], put, _nothing)


def _wanted_weights(start: int, size: int, models: ByteReader, *, coded: bool) -> Wanted:
    def fill(stored: Stored, symbols: Sequence[UInt16Array]) -> None:
        numbers = symbols[0].astype(np.int16) - LARGEST_INT8
        stored.network[start : start + size] = numbers.astype(np.int8).view(np.uint8)

    if not coded:
        return _wanted_bytes(start, size)
    return Wanted(0, [(size, integer_frequencies(models.byte(), LARGEST_INT8))], _nothing, fill)  # type: ignore[arg-type]
