"""The header of a compact artifact: from the schema version to the vocabulary's size, and how many bytes it takes."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fmcompress.artifact.byte_reader import ByteReader, varint
from fmcompress.artifact.compact_entries import (
    CodedTier,
    TableEntry,
    decode_field,
    decode_layers,
    encode_field,
    encode_layers,
    encode_quantizer,
    in_schema,
)
from fmcompress.artifact.metadata import COMPACT_VERSION, Frame
from fmcompress.artifact.origin import COMPACT, Origin
from fmcompress.artifact.provenance import decode_provenance, encode_provenance
from fmcompress.fm.links import LINKS, Link
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Field, Schema
from fmcompress.fm.tiers import by_field

SEAL_BYTES = 32
"""Of the seal, which comes first."""

LENGTH_BYTES = 8

_TENSOR = '{{"fmc":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}'
_PROVENANCE, _NETWORK, _VOCABULARY = 1, 2, 4
_ERROR_BYTES = 1
_FLAGS = _PROVENANCE | _NETWORK | _VOCABULARY
_CLIP = "clip"


@dataclass(frozen=True)
class Coding:
    """Which parts of an artifact are entropy coded.

    Attributes:
        streams: of each field with a table, the stream of its tiers.
        tiers: of each tier.
        layers: of each dense layer, its weights.
    """

    streams: tuple[bool, ...] = ()
    tiers: tuple[CodedTier, ...] = ()
    layers: tuple[bool, ...] = ()


@dataclass(frozen=True)
class CompactHeader:
    """What the header of a compact artifact tells.

    Attributes:
        frame: what was fixed before quantizing.
        bias: w_0.
        quantizers: how each tier is stored, field by field.
        errors: expected rise of the loss per row by each tier; NaN where that is not told.
        origin: where the artifact comes from.
        tier_sizes: categories in each tier of each field with a table.
        coding: which parts are entropy coded.
    """

    frame: Frame
    bias: float
    quantizers: tuple[Quantizer, ...]
    errors: tuple[float, ...]
    origin: Origin
    tier_sizes: tuple[tuple[int, ...], ...]
    coding: Coding = Coding()


def container_head(size: int) -> bytes:
    """Return length and header of the container of so many bytes."""
    text = _TENSOR.format(size).encode()
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def encode_head(header: CompactHeader) -> bytes:
    """Return the bytes from the schema version to the size of the vocabulary."""
    schema, coding = header.frame.schema, header.coding
    places = {field.name: number for number, field in enumerate(schema.all_fields)}
    entries = _without_tables(schema)
    stored = zip(
        schema.fields,
        header.tier_sizes,
        by_field(header.quantizers, header.tier_sizes),
        by_field(coding.tiers or [CodedTier()] * len(header.quantizers), header.tier_sizes),
        coding.streams or [False] * len(schema.fields),
        strict=True,
    )
    for field, sizes, quantizers, coded, stream in stored:
        entries[field.name] = TableEntry(field, tuple(sizes), tuple(quantizers), tuple(coded), stream)
    ordered = [encode_field(entries[field.name], places) for field in schema.all_fields]
    return _join(header.frame, header.origin, header.bias, ordered, header.errors, coding.layers)


def _without_tables(schema: Schema) -> dict[str, TableEntry]:
    """Return the entries of the fields without tables of their own, by name."""
    found = {field.name: TableEntry(field) for field in schema.shared}
    return found | {field.name: TableEntry(field) for field in schema.numeric}


def _join(
    frame: Frame,
    origin: Origin,
    bias: float,
    entries: Iterable[bytes],
    errors: Sequence[float],
    layers: Sequence[bool] = (),
) -> bytes:
    link = frame.link_function
    flags = _PROVENANCE * origin.provenance | _NETWORK * (frame.network is not None)
    flags |= _VOCABULARY * (frame.vocabulary_bytes > 0)
    pieces = [bytes((COMPACT_VERSION, flags, LINKS.index(link.name)))]
    if link.name == _CLIP:
        pieces.append(struct.pack("<dd", link.low, link.high))
    pieces += [struct.pack("<f", bias), varint(frame.dim), varint(len(frame.schema.all_fields)), *entries]
    if frame.network is not None:
        pieces.append(encode_layers(frame.network, layers))
    if origin.provenance:
        told = encode_provenance(origin, errors, regression=link.regression)
        pieces += [varint(len(told)), told]
    if frame.vocabulary_bytes:
        pieces.append(varint(frame.vocabulary_bytes))
    return b"".join(pieces)


def decode_head(reader: ByteReader) -> CompactHeader:
    """Return what the bytes tell from the schema version on: the inverse of ``encode_head``.

    Raises:
        ValueError, UsageError: they make no sense.
    """
    version, flags, link = reader.take(3)
    if version != COMPACT_VERSION or flags & ~_FLAGS or link >= len(LINKS):
        raise ValueError("schema version, flags or link")
    limits = reader.numbers("dd") if LINKS[link] == _CLIP else ()
    (bias,) = reader.numbers("f")
    dim = reader.varint()
    entries = [decode_field(reader) for _ in range(reader.count())]
    schema = Schema.in_order(in_schema(entries))
    network, layers = decode_layers(reader, schema) if flags & _NETWORK else (None, ())
    tables = [entry for entry, _ in entries if isinstance(entry.field, Field)]
    quantizers = tuple(quantizer for table in tables for quantizer in table.quantizers)
    link_text = str(Link(LINKS[link], *limits))
    told = reader.take(reader.varint()) if flags & _PROVENANCE else None
    vocabulary_bytes = reader.varint() if flags & _VOCABULARY else 0
    frame = Frame(schema, dim, link_text, vocabulary_bytes, network)
    origin, errors = Origin(0, "", 0, provenance=False), (float("nan"),) * len(quantizers)
    if told is not None:
        origin, errors = decode_provenance(told, len(quantizers), regression=frame.link_function.regression)
    if bool(vocabulary_bytes) != bool(flags & _VOCABULARY):
        raise ValueError("vocabulary")
    return CompactHeader(
        frame,
        bias,
        quantizers,
        errors,
        replace(origin, layout=COMPACT),
        tuple(table.sizes for table in tables),
        Coding(
            tuple(table.tiers_coded for table in tables),
            tuple(tier for table in tables for tier in table.coded),
            layers,
        ),
    )


def entry_bytes(field: Field, quantizers: Sequence[Quantizer], sizes: Sequence[int]) -> int:
    """Return the bytes that the entry of a field takes, with the errors of its tiers, which stand elsewhere.

    Args:
        field: the field.
        quantizers: of each of its tiers.
        sizes: categories in each tier.
    """
    return len(encode_field(TableEntry(field, tuple(sizes), tuple(quantizers)), {})) + _ERROR_BYTES * len(sizes)


def embedding_name_bytes(quantizer: Quantizer) -> int:
    """Return the bytes that tell of the embeddings' quantizer in the entry of a field."""
    raw = replace(quantizer, linear_codewords=0)
    return len(encode_quantizer(raw, CodedTier())) - linear_name_bytes(raw)


def linear_name_bytes(quantizer: Quantizer) -> int:
    """Return the bytes that tell of the linear weights' quantizer in the entry of a field."""
    return len(varint(quantizer.linear_codewords))


def file_bytes(size: int) -> int:
    """Return the size of a file of so many bytes behind the container's header."""
    return len(container_head(size)) + size


def header_bytes(
    frame: Frame, origin: Origin, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]]
) -> int:
    """Return the bytes of seal and header, the container's header left out, whatever the figures in it."""
    errors = (0.0,) * len(quantizers)
    sizes = tuple(map(tuple, tier_sizes))
    return SEAL_BYTES + len(encode_head(CompactHeader(frame, 0.0, tuple(quantizers), errors, origin, sizes)))


def rest_bytes(frame: Frame, origin: Origin) -> int:
    """Return the bytes of seal and headers without the entries of fields with tables, at most.

    That is as many as in a file of the budget, or, where there is no budget, in one that holds everything raw.
    """
    schema = frame.schema
    places = {field.name: number for number, field in enumerate(schema.all_fields)}
    entries = [encode_field(entry, places) for entry in _without_tables(schema).values()]
    most = origin.budget_bytes or 4 * frame.raw_numbers + 4 * schema.categories
    return len(container_head(most)) + SEAL_BYTES + len(_join(frame, origin, 0.0, entries, ())) + 1
