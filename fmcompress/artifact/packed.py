"""What an artifact holds, packed, in memory or mapped from a file: a compressed factorization machine, or tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from fmcompress.artifact.bitpack import pack, unpack
from fmcompress.artifact.codeword_order import sort_codewords
from fmcompress.artifact.compact import CompactBytes, Contents, encode_compact
from fmcompress.artifact.file_sizes import FileSizes, compact_sizes, plain_sizes
from fmcompress.artifact.header import Header
from fmcompress.artifact.layout import (
    FieldLayout,
    encode_numeric,
    field_layouts,
    read_table,
    tier_layouts,
    write_tables,
)
from fmcompress.artifact.metadata import Frame, TablesFrame
from fmcompress.artifact.network_layout import decode_network, encode_network
from fmcompress.artifact.origin import Origin
from fmcompress.fm.network import Network
from fmcompress.fm.numeric_weights import NumericWeights
from fmcompress.fm.quantized_fm import QuantizedField, QuantizedFM
from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import Tiers
from fmcompress.fm.vocabulary import Vocabulary
from fmcompress.types import AnyArray, Float16Array, UInt8Array, UInt16Array


class Packed:
    """What all artifacts hold, whatever their content.

    Attributes:
        header: fields, tiers, quantizers and origin.
        values: numbers in fp16, and scales of those in int8, float16 (values,).
        codes: tiers, what is stored in int8 and fp32, and bit streams of codes, uint8 (bytes,).
    """

    header: Header
    values: Float16Array
    codes: UInt8Array

    @property
    def schema(self) -> Schema:
        """The fields."""
        return self.header.schema

    @property
    def file_bytes(self) -> int:
        """Size of the artifact."""
        return self.sizes.file_bytes

    @cached_property
    def sizes(self) -> FileSizes:
        """What the artifact takes, part by part."""
        return plain_sizes(self.header)

    @property
    def stored(self) -> Mapping[str, AnyArray | None]:
        """What is stored in each tensor by its name, (numbers,) of the dtype that the header says."""
        return {"values": np.ascontiguousarray(self.values, dtype="<f2"), "codes": np.ascontiguousarray(self.codes)}

    def axes_of(self, table: int) -> Float16Array | None:
        """Return the axes along which the vectors of a table are stored, float16 (l, l); None where there are none."""
        return None

    @cached_property
    def tiers(self) -> Tiers:
        """How the categories of the fields are split."""
        of = np.zeros(self.schema.categories, dtype=np.uint8)
        for number, field in enumerate(field_layouts(self.header)):
            if field.tier_bytes:
                tiers = unpack(self.codes[field.tier_stream], sum(field.sizes), field.tier_widths)
                of[self.schema.rows(number)] = tiers[:, 0]
        return Tiers(self.schema, of)


@dataclass(frozen=True, eq=False)
class PackedTables(Packed):
    """Tables of vectors as an artifact holds them.

    Attributes:
        header: tables, tiers, quantizers and origin.
        values: codebooks and raw vectors in fp16, scales of those in int8, tier by tier, float16 (values,).
        codes: tiers, what is stored in int8 and fp32, and bit streams of codes, tier by tier, uint8 (bytes,).
        axes: of the tables that have any, one after the other, float16 (numbers,).
    """

    header: Header
    values: Float16Array
    codes: UInt8Array
    axes: Float16Array

    @property
    def frame(self) -> TablesFrame:
        """What is fixed of the artifact."""
        return TablesFrame(self.schema)

    @property
    def stored(self) -> Mapping[str, AnyArray | None]:
        """What is stored in each tensor by its name, (numbers,) of the dtype that the header says."""
        return {**super().stored, "axes": np.ascontiguousarray(self.axes, dtype="<f2")}

    def axes_of(self, table: int) -> Float16Array | None:
        """Return the axes along which the vectors of a table are stored, float16 (l, l); None where there are none."""
        start = self.frame.axes_starts.get(table)
        if start is None:
            return None
        dim = self.frame.vector_sizes[table]
        return self.axes[start : start + dim * dim].reshape(dim, dim)


@dataclass(frozen=True, eq=False)
class PackedFM(Packed):
    """A factorization machine as an artifact holds it.

    Attributes:
        header: fields, tiers, quantizers and origin.
        bias: w_0.
        values: codebooks, raw embeddings and linear weights in fp16, scales of those in int8, tier by tier, float16
            (values,).
        codes: tiers, what is stored in int8 and fp32, and bit streams of codes, tier by tier, uint8 (bytes,).
        numeric: weights of the numeric fields; None where there are none.
        vocabulary_data: the vocabulary, as ``Vocabulary.encode`` makes it, uint8 (bytes,); None where there is none.
        network_data: the dense layers, as ``encode_network`` makes them, uint8 (bytes,); None where there are none.
    """

    header: Header
    bias: float
    values: Float16Array
    codes: UInt8Array
    numeric: NumericWeights = None  # type: ignore[assignment]
    vocabulary_data: UInt8Array | None = None
    network_data: UInt8Array | None = None

    def __post_init__(self) -> None:
        if self.numeric is None:
            object.__setattr__(self, "numeric", NumericWeights.none(self.header.dim))

    @property
    def link(self) -> str:
        """From logit to prediction."""
        return self.header.link

    @property
    def compact_bytes(self) -> CompactBytes:
        """The bytes of a compact artifact, its seal left out."""
        nothing = np.empty(0, dtype=np.uint8)
        network, vocabulary = (nothing if own is None else own for own in (self.network_data, self.vocabulary_data))
        numeric = encode_numeric(self.numeric, self.header.frame)
        return encode_compact(Contents(self.header, self.values, self.codes, network, self.bias, numeric, vocabulary))

    @cached_property
    def sizes(self) -> FileSizes:
        """What the artifact takes, part by part; of a compact one, all has to be coded for that."""
        if not self.header.origin.compact:
            return super().sizes
        return compact_sizes(self.header, self.compact_bytes)

    @property
    def stored(self) -> Mapping[str, AnyArray | None]:
        """What is stored in each tensor by its name, (numbers,) of the dtype that the header says."""
        return {
            **super().stored,
            "bias": np.array([self.bias], dtype="<f4"),
            "numeric": encode_numeric(self.numeric, self.header.frame),
            "network": self.network_data,
            "vocabulary": self.vocabulary_data,
        }

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The tokens or keys of the categories, keys where they lie; None where the artifact carries none."""
        return None if self.vocabulary_data is None else Vocabulary.decode(self.vocabulary_data.data)

    @cached_property
    def network(self) -> Network | None:
        """The dense layers; None where there are none."""
        stored = self.header.frame.network
        if stored is None or self.network_data is None:
            return None
        return decode_network(self.network_data, stored, self.schema, self.header.dim)


AnyPacked = TypeVar("AnyPacked", bound=PackedFM)


def pack_model(model: QuantizedFM, origin: Origin) -> PackedFM:
    """Return the packed form of a quantized factorization machine; its numbers are rounded as they are stored."""
    header = Header(
        frame=Frame.of(model, network_bytes=model.network_bytes),
        quantizers=tuple(tier.quantizer for tier in model.fields),
        errors=tuple(tier.error for tier in model.fields),
        origin=origin,
        tier_sizes=model.tiers.sizes,
    )
    values, codes = _packed(header, model.fields, model.tiers)
    if origin.compact:
        sort_codewords(header, values, codes)
    largest = float(np.finfo(np.float32).max)
    bias = float(np.float32(min(max(model.bias, -largest), largest)))
    network = header.frame.network
    layers = None
    if network is not None and model.network is not None:
        layers = encode_network(model.network, network.value_bytes)
    return PackedFM(header, bias, values, codes, model.numeric, network_data=layers)


def pack_tables(
    fields: Sequence[QuantizedField], tiers: Tiers, origin: Origin, axes: Sequence[Float16Array] = ()
) -> PackedTables:
    """Return the packed form of quantized tables; their numbers are rounded as they are stored.

    Args:
        fields: the tiers, table by table.
        tiers: how the tables are split.
        origin: where they come from.
        axes: of the tables that have any, float16 (l, l) each.
    """
    header = Header(
        frame=TablesFrame(tiers.schema),
        quantizers=tuple(tier.quantizer for tier in fields),
        errors=tuple(tier.error for tier in fields),
        origin=origin,
        tier_sizes=tiers.sizes,
    )
    numbers = np.concatenate([np.empty(0, dtype=np.float16), *(own.reshape(-1) for own in axes)])
    return PackedTables(header, *_packed(header, fields, tiers), numbers)


def _packed(header: Header, fields: Sequence[QuantizedField], tiers: Tiers) -> tuple[Float16Array, UInt8Array]:
    """Return the values, float16 (values,), and the codes, uint8 (bytes,), of all tiers."""
    values = np.empty(header.tensor("values").size, dtype=np.float16)
    codes = np.empty(header.tensor("codes").size, dtype=np.uint8)
    for field, of in zip(field_layouts(header), tiers.schema.split(tiers.of), strict=True):
        codes[field.tier_stream] = pack(of[:, None].astype(np.uint16), field.tier_widths)
    for place, tier in zip(tier_layouts(header), fields, strict=True):
        linear = [tier.linear_table] if tier.quantizer.has_linear else []
        write_tables((*tier.tables, *linear), place, values, codes)
        codes[place.stream] = pack(_all_codes(tier), place.quantizer.widths) if tier.stream is None else tier.stream
    return values, codes


def unpack_model(model: PackedFM) -> QuantizedFM:
    """Return the working form of a packed model: the inverse of ``pack_model``, after its rounding."""
    fields = []
    for place, error in zip(tier_layouts(model.header), model.header.errors, strict=True):
        *tables, linear_table = [read_table(table, model.values, model.codes) for table in place.all_tables]
        codes = unpack(model.codes[place.stream], place.cardinality, place.quantizer.widths)
        embedding_codes, linear_codes = np.split(codes, [len(place.quantizer.codewords)], axis=1)
        fields.append(
            QuantizedField(
                place.quantizer, tuple(tables), embedding_codes, linear_table, linear_codes.reshape(-1), error
            )
        )
    header = model.header
    stored = header.frame.network
    return QuantizedFM(
        header.schema,
        header.dim,
        header.link,
        model.bias,
        tuple(fields),
        model.tiers,
        model.numeric,
        model.network,
        None if stored is None else stored.value_bytes,
    )


def with_vocabulary(model: AnyPacked, vocabulary: Vocabulary | None) -> AnyPacked:
    """Return a model that carries a vocabulary, or none.

    Raises:
        UsageError: it is not one of the model's fields.
    """
    data = None
    if vocabulary is not None:
        vocabulary.check(model.schema)
        data = np.frombuffer(vocabulary.encode(), dtype=np.uint8)
    frame = replace(model.header.frame, vocabulary_bytes=0 if data is None else len(data))
    return replace(model, header=replace(model.header, frame=frame), vocabulary_data=data)


def _all_codes(field: QuantizedField) -> UInt16Array:
    if not len(field.linear_codes):
        return field.codes
    return np.concatenate([field.codes, field.linear_codes[:, None]], axis=1)


def stored_pieces(model: PackedFM) -> dict[str, list[AnyArray]]:
    """Return what is stored of each field by its name, views (numbers,) of any dtype; nothing of those that share."""
    found: dict[str, list[AnyArray]] = {
        field.name: list(_pieces(model, layout))
        for field, layout in zip(model.schema.fields, field_layouts(model.header), strict=True)
    }
    numeric = zip(model.schema.numeric, model.numeric.linear, model.numeric.embeddings, strict=True)
    found |= {field.name: [np.atleast_1d(weight), embedding] for field, weight, embedding in numeric}
    return {field.name: found.get(field.name, []) for field in model.schema.all_fields}


def same_pieces(one: Sequence[AnyArray], other: Sequence[AnyArray]) -> bool:
    """Return whether what is stored of two fields, see ``stored_pieces``, is the same; arrays (numbers,), any dtype."""
    return len(one) == len(other) and all(map(np.array_equal, one, other))


def _pieces(model: PackedFM, layout: FieldLayout) -> Iterator[AnyArray]:
    yield model.codes[layout.tier_stream]
    for tier in layout.tiers:
        for table in tier.all_tables:
            yield model.values[table.rows] if table.in_values else model.codes[table.rows]
            if table.scale is not None:
                yield model.values[table.scale : table.scale + 1]
        yield model.codes[tier.stream]
