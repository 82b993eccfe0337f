"""Entries of fields in the header of a compact artifact, and that of a network; ``docs/format.md`` specifies them.

What takes fewest bytes of an entry is what is known of it before anything is coded: so it is counted beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from fmcompress.artifact.byte_reader import ByteReader, name_bytes, varint
from fmcompress.artifact.network_layout import StoredNetwork
from fmcompress.fm.network import KINDS
from fmcompress.fm.pooling import Pooling
from fmcompress.fm.quantizer import FLOAT, HALF, INT8, MAX_CODEWORDS, MAX_SUBSPACES, Quantizer
from fmcompress.fm.schema import Field, NumericField, Schema, SharedField
from fmcompress.fm.tiers import MAX_TIERS

AnyField = Field | SharedField | NumericField

_TABLE, _SHARED, _NUMERIC, _LINEAR_ONLY = range(4)
_KIND_BITS, _PAD, _POOLING, _TIERS_SHIFT, _TIERS_CODED = 0x03, 0x04, 0x08, 4, 0x40
_POOLINGS = ("sum", "mean", "sqrtn", "each")
_EACH = 0x33
_BITS = (2, 3, 4, 5, 6, 8, 16, 32)
_CODES_CODED, _TABLES_CODED, _LINEAR_CODED = 0x20, 0x40, 0x80
_RAW, _EQUAL, _POWERS, _LISTED = range(4)
_FORM_SHIFT, _FORM_BITS = 3, 0x03
_REST = 15
_REST_LISTED = 0
_KINDS = tuple(KINDS)
_ACTIVATIONS = ("identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu")
_WEIGHTS = (INT8, HALF, FLOAT)
_LAYER_BITS, _LAYER_SHIFT, _LAYER_CODED = 0x0F, 4, 0x40


@dataclass(frozen=True)
class CodedTier:
    """Which parts of a tier are entropy coded.

    Attributes:
        codes: some of its codes.
        tables: its embedding tables.
        linear: the table of its linear weights.
    """

    codes: bool = False
    tables: bool = False
    linear: bool = False


@dataclass(frozen=True)
class TableEntry:
    """What the header tells of a field, with a table of its own or without.

    Attributes:
        field: the field.
        sizes: categories in each of its tiers; none without a table.
        quantizers: of each tier.
        coded: which parts of each tier are entropy coded.
        tiers_coded: whether the stream of its tiers is.
    """

    field: AnyField
    sizes: tuple[int, ...] = ()
    quantizers: tuple[Quantizer, ...] = ()
    coded: tuple[CodedTier, ...] = ()
    tiers_coded: bool = False


def encode_field(entry: TableEntry, places: Mapping[str, int]) -> bytes:
    """Return the entry of a field.

    Args:
        entry: what it tells.
        places: number of each field of the artifact by its name.
    """
    field = entry.field
    if isinstance(field, NumericField):
        return name_bytes(field.name) + bytes((_LINEAR_ONLY if field.linear_only else _NUMERIC,))
    pooling = b"" if field.pooling is None else bytes((_pooling_byte(field.pooling),))
    kind = _POOLING if pooling else 0
    if isinstance(field, SharedField):
        return name_bytes(field.name) + bytes((kind | _SHARED,)) + pooling + varint(places[field.table])
    kind |= _TABLE | (len(entry.sizes) - 1) << _TIERS_SHIFT
    kind |= (_PAD if field.pad is not None else 0) | (_TIERS_CODED if entry.tiers_coded else 0)
    numbers = [field.cardinality, *([] if field.pad is None else [field.pad]), *entry.sizes[:-1]]
    stored = zip(entry.quantizers, entry.coded or [CodedTier()] * len(entry.sizes), strict=True)
    return b"".join(
        [
            name_bytes(field.name),
            bytes((kind,)),
            pooling,
            *map(varint, numbers),
            *(encode_quantizer(quantizer, coded) for quantizer, coded in stored),
        ]
    )


def decode_field(reader: ByteReader) -> tuple[TableEntry, int | None]:
    """Return what an entry tells, and the number of the field whose table it shares, of which only the name is lacking.

    Raises:
        ValueError, UsageError: the bytes make no sense.
    """
    name, kind = reader.name(), reader.byte()
    family, tiers = kind & _KIND_BITS, 1 + (kind >> _TIERS_SHIFT & 3)
    pooling = _parse_pooling(reader.byte()) if kind & _POOLING else None
    if family in (_NUMERIC, _LINEAR_ONLY):
        if kind not in (_NUMERIC, _LINEAR_ONLY):
            raise ValueError(f"field {name!r}")
        return TableEntry(NumericField(name, family == _LINEAR_ONLY)), None
    if family == _SHARED:
        if kind & ~_POOLING != _SHARED:
            raise ValueError(f"field {name!r}")
        return TableEntry(SharedField(name, name, pooling)), reader.varint()
    cardinality = reader.varint()
    pad = reader.varint() if kind & _PAD else None
    sizes = [reader.varint() for _ in range(tiers - 1)]
    sizes.append(cardinality - sum(sizes))
    coded_stream = bool(kind & _TIERS_CODED)
    if kind >> 7 or min(sizes) < 1 or tiers > MAX_TIERS or (coded_stream and tiers == 1):
        raise ValueError(f"field {name!r}")
    stored = [decode_quantizer(reader) for _ in sizes]
    quantizers, coded = zip(*stored, strict=True)
    return TableEntry(Field(name, cardinality, pad, pooling), tuple(sizes), quantizers, coded, coded_stream), None


def in_schema(entries: Sequence[tuple[TableEntry, int | None]]) -> list[AnyField]:
    """Return the fields, those that share a table with the name of the one that has it.

    Raises:
        ValueError: there is no such field.
    """
    found: list[AnyField] = []
    for entry, table in entries:
        field = entry.field
        if isinstance(field, SharedField):
            if table is None or table >= len(entries):
                raise ValueError(f"field {field.name!r} shares the table of none")
            field = SharedField(field.name, entries[table][0].field.name, field.pooling)
        found.append(field)
    return found


def _pooling_byte(pooling: Pooling) -> int:
    return _EACH if pooling.each else _POOLINGS.index(pooling.embedding) | _POOLINGS.index(pooling.linear) << 4


def _parse_pooling(byte: int) -> Pooling:
    if byte == _EACH:
        return Pooling("each", "sum")
    embedding, linear = byte & 0x0F, byte >> 4
    if max(embedding, linear) >= _POOLINGS.index("each"):
        raise ValueError("pooling")
    return Pooling(_POOLINGS[embedding], _POOLINGS[linear])


def encode_quantizer(quantizer: Quantizer, coded: CodedTier) -> bytes:
    """Return a quantizer, and which parts of its tier are entropy coded."""
    form, sizes = _encode_sizes(quantizer.codewords)
    flags = coded.codes * _CODES_CODED | coded.tables * _TABLES_CODED | coded.linear * _LINEAR_CODED
    first = _BITS.index(quantizer.value_bits) | form << _FORM_SHIFT | flags
    count = varint(len(quantizer.codewords)) if quantizer.codewords else b""
    return bytes((first,)) + varint(quantizer.linear_codewords) + count + sizes


def decode_quantizer(reader: ByteReader) -> tuple[Quantizer, CodedTier]:
    """Return a quantizer, and which parts of its tier are entropy coded: the inverse of ``encode_quantizer``.

    Raises:
        ValueError: the bytes make no sense, or it could be said in fewer.
    """
    first = reader.byte()
    bits, form = _BITS[first & 7], first >> _FORM_SHIFT & _FORM_BITS
    coded = CodedTier(bool(first & _CODES_CODED), bool(first & _TABLES_CODED), bool(first & _LINEAR_CODED))
    linear = reader.varint()
    count = reader.varint() if form != _RAW else 0
    if linear > MAX_CODEWORDS or not (form == _RAW or 1 <= count <= MAX_SUBSPACES):
        raise ValueError("quantizer")
    counted = reader.at
    sizes = _decode_sizes(reader, form, count)
    usual = all(1 <= size <= MAX_CODEWORDS for size in sizes) and _encode_sizes(sizes) == (form, reader.since(counted))
    if not usual:
        raise ValueError("quantizer")
    if (coded.tables or coded.linear) and bits > 8 * INT8:
        raise ValueError("coded tables")
    value_bytes, integer_bits = (INT8, bits) if bits <= 8 * INT8 else (bits // 8, 8 * INT8)
    return Quantizer(sizes, linear, value_bytes, integer_bits), coded


def _encode_sizes(codewords: Sequence[int]) -> tuple[int, bytes]:
    """Return the form that numbers of codewords have, and themselves."""
    if not codewords:
        return _RAW, b""
    powers = all(size & (size - 1) == 0 for size in codewords)
    bits = [size.bit_length() - 1 for size in codewords]
    if powers and len(set(bits)) == 1:
        return _EQUAL, bytes(bits[:1])
    ones = len(list(takewhile(lambda size: size == 1, reversed(codewords))))
    told = len(codewords) - (ones if ones > 1 else 0)
    if not powers:
        return _LISTED, b"".join(map(varint, [*codewords[:told], *([_REST_LISTED] if ones > 1 else [])]))
    digits = [*bits[:told], *([_REST] if ones > 1 else [])]
    digits += [0] * (len(digits) % 2)
    return _POWERS, bytes(low | high << 4 for low, high in zip(digits[::2], digits[1::2], strict=True))


def _decode_sizes(reader: ByteReader, form: int, count: int) -> tuple[int, ...]:
    """Return numbers of codewords; 0 where one makes no sense."""
    if form == _RAW:
        return ()
    if form == _EQUAL:
        return (1 << min(reader.byte(), 32),) * count
    found: list[int] = []
    high: int | None = None
    while len(found) < count:
        if form == _LISTED:
            size, rest = reader.varint(), _REST_LISTED
        elif high is None:
            byte = reader.byte()
            size, rest, high = byte & 0x0F, _REST, byte >> 4
        else:
            size, rest, high = high, _REST, None
        if size == rest:
            found += [1] * (count - len(found))
        else:
            found.append(size if form == _LISTED else 1 << size)
    return tuple(found)


def encode_layers(network: StoredNetwork, coded: Sequence[bool] = ()) -> bytes:
    """Return what tells of a network, and of which layers weights are entropy coded."""
    layers = zip(network.layers, coded or [False] * len(network.layers), strict=True)
    found = [bytes((_KINDS.index(network.kind),)), varint(len(network.layers))]
    for layer, own in layers:
        stored = _ACTIVATIONS.index(layer.activation) | _WEIGHTS.index(layer.value_bytes) << _LAYER_SHIFT
        found.append(varint(layer.outputs) + bytes((stored | own * _LAYER_CODED,)))
    return b"".join(found)


def decode_layers(reader: ByteReader, schema: Schema) -> tuple[StoredNetwork, tuple[bool, ...]]:
    """Return a network, and of which layers weights are coded: the inverse of ``encode_layers``.

    Raises:
        ValueError: the bytes make no sense.
    """
    kind, entry, coded = reader.byte(), [], []
    for _ in range(reader.count()):
        outputs, stored = reader.varint(), reader.byte()
        activation, weights = stored & _LAYER_BITS, stored >> _LAYER_SHIFT & 3
        if activation >= len(_ACTIVATIONS) or weights >= len(_WEIGHTS) or stored >> 7:
            raise ValueError("dense layer")
        entry.append([outputs, _ACTIVATIONS[activation], 8 * _WEIGHTS[weights]])
        coded.append(bool(stored & _LAYER_CODED))
        if coded[-1] and _WEIGHTS[weights] != INT8:
            raise ValueError("dense layer")
    if kind >= len(_KINDS):
        raise ValueError("network")
    return StoredNetwork.parse([_KINDS[kind], *entry], schema), tuple(coded)
