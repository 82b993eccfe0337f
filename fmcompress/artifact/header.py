"""The header of an artifact: what it says of the artifact, and the bytes that it and all the rest take.

Errors, scores and the budget are known last; the header is filled up with spaces to what their longest texts take, so
that bytes can be counted beforehand. ``docs/format.md`` is the specification.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from fmcompress.artifact import compact_header
from fmcompress.artifact.container import StoredTensor, canonical_json, encode_header, parse_json
from fmcompress.artifact.entries import LONGEST_ERROR, Tier, decode_entry, encode_entry, encode_table_less
from fmcompress.artifact.metadata import (
    DEFAULTS,
    SCHEMA_VERSION,
    TABLES,
    TABLES_VERSION,
    UNSEALED,
    Frame,
    TablesFrame,
    compose,
)
from fmcompress.artifact.network_layout import StoredNetwork
from fmcompress.artifact.origin import Origin, decode_origin, listed, longest, text, whole
from fmcompress.errors import ArtifactError, UsageError
from fmcompress.fm.quantizer import HALF, INT8, Quantizer, code_bits, embedding_spec, linear_spec
from fmcompress.fm.schema import Field, Schema, VectorField
from fmcompress.fm.tiers import by_field

BIAS_BYTES = 4

NO_MACHINE = "holds tables of vectors, not a factorization machine"
"""What is said where a factorization machine is needed."""

MAX_DIM = 65_536
"""Largest size of embeddings."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
# The budget has a place of its own however small it is: were the header a little larger for a larger budget, the
# smallest budget that works could not be told.
_LARGEST_BUDGET = 10**12 - 1
_QUOTES, _COMMA = '""', ","


@dataclass(frozen=True)
class Header:
    """The metadata of an artifact.

    Attributes:
        frame: what was fixed before quantizing.
        quantizers: how each tier is stored, field by field; a field that is not split is one tier.
        errors: expected rise of the loss per row by each tier; written with 2 digits, from 1e-9 up to 10⁵.
        origin: where the artifact comes from.
        tier_sizes: categories in each tier of each field with a table.
    """

    frame: Frame
    quantizers: tuple[Quantizer, ...]
    errors: tuple[float, ...]
    origin: Origin
    tier_sizes: tuple[tuple[int, ...], ...]

    @property
    def schema(self) -> Schema:
        """The fields."""
        return self.frame.schema

    @property
    def dim(self) -> int:
        """Embedding size l."""
        return self.frame.dim

    @property
    def link(self) -> str:
        """From logit to prediction."""
        return self.frame.link

    @cached_property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """The tensors of the artifact in the order of their bytes; values and codes tier by tier."""
        return tensors_of(self.frame, self.quantizers, self.tier_sizes)

    def tensor(self, name: str) -> StoredTensor:
        """Return one of the tensors."""
        (found,) = (tensor for tensor in self.tensors if tensor.name == name)
        return found

    @cached_property
    def header_bytes(self) -> int:
        """Size of the container's length and header: fixed before the figures are known."""
        return header_bytes(self.frame, self.origin, self.quantizers, self.tier_sizes)


def encode(header: Header, sha256: str) -> str:
    """Return the metadata as canonical JSON; ``sha256`` seals it and the payload.

    Whole numbers of fewer bits are in int8, as they are in memory.
    """
    sizes = chain.from_iterable(header.tier_sizes)
    plain = [replace(quantizer, integer_bits=8 * INT8) for quantizer in header.quantizers]
    every = [Tier(*tier) for tier in zip(sizes, plain, header.errors, strict=True)]
    tiers = by_field(every, header.tier_sizes)
    entries = encode_table_less(header.schema)
    entries |= {field.name: encode_entry(field, own) for field, own in zip(header.schema.fields, tiers, strict=True)}
    ordered = [entries[field.name] for field in header.schema.all_fields]
    return compose(header.frame, header.origin, ordered, sha256)


def decode(metadata: str, *, vocabulary_bytes: int = 0, machine: bool = False) -> tuple[Header, str]:
    """Return header and SHA-256 of a metadata text; the inverse of ``encode``.

    Args:
        metadata: the text.
        vocabulary_bytes: size of the vocabulary, of which the text does not tell.
        machine: whether it must be that of a factorization machine.

    Raises:
        ArtifactError: the text is no metadata of an artifact, of a newer schema version, or of tables.
    """
    try:
        found = parse_json(metadata)
        version = whole(found["schema_version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError("is no fmcompress artifact: its metadata has no schema version") from error
    if version > SCHEMA_VERSION:
        raise ArtifactError(
            f"has schema version {version}, this fmcompress reads version {SCHEMA_VERSION}",
            hint="a newer fmcompress reads it",
        )
    if machine and version == TABLES_VERSION and found.get("content") == TABLES:
        raise ArtifactError(NO_MACHINE, hint="fmcompress.load(path).table(name) reads them")
    try:
        if not _SHA256.fullmatch(found["sha256"]):
            raise ValueError("SHA-256")
        return _header({**DEFAULTS, **found}, vocabulary_bytes), found["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, UsageError) as error:
        raise ArtifactError(f"is damaged: its metadata cannot be used ({str(error)[:100]})") from error


def _header(found: Mapping[str, Any], vocabulary_bytes: int) -> Header:
    entries = [decode_entry(*listed(entry)) for entry in listed(found["fields"])]
    tiers = [tier for _, tiers in entries for tier in tiers]
    frame = _frame(found, Schema.in_order(field for field, _ in entries), vocabulary_bytes)
    sizes = zip(frame.vector_sizes, (tiers for _, tiers in entries if tiers), strict=True)
    if any(len(tier.quantizer.codewords) > dim for dim, own in sizes for tier in own):
        raise ValueError("more subspaces than coordinates")
    return Header(
        frame=frame,
        quantizers=tuple(tier.quantizer for tier in tiers),
        errors=tuple(tier.error for tier in tiers),
        origin=decode_origin(found, regression=frame.link_function.regression),
        tier_sizes=tuple(tuple(tier.size for tier in tiers) for _, tiers in entries if tiers),
    )


def _frame(found: Mapping[str, Any], schema: Schema, vocabulary_bytes: int) -> Frame:
    """Return the frame of a file of any content.

    Raises:
        ValueError, KeyError, UsageError: it makes no sense, or its version does not know this content.
    """
    tables = [isinstance(field, VectorField) for field in schema.fields]
    frame: Frame
    if found.get("content") == TABLES:
        if not all(tables) or schema.numeric or schema.poolings or vocabulary_bytes or found["network"]:
            raise ValueError("tables alone were expected")
        frame = TablesFrame(schema)
    else:
        if any(tables):
            raise ValueError("no tables were expected")
        network = StoredNetwork.parse(found["network"], schema) if found["network"] != [] else None
        frame = Frame(schema, whole(found["dim"]), text(found["link"]), vocabulary_bytes, network)
    for dim in frame.vector_sizes:
        if not 1 <= dim <= MAX_DIM:
            raise ValueError(f"dim {dim}")
    if any(found[key] != value for key, value in frame.described.items()):
        raise ValueError("schema version or link")
    return frame


def tier_bits(sizes: Sequence[int]) -> int:
    """Return the bits that tell the tier of a category of a field with tiers of these sizes."""
    return code_bits(len(sizes))


def tier_bytes(sizes: Sequence[int]) -> int:
    """Return the bytes of the stream that tells the tier of each category of a field."""
    return (sum(sizes) * tier_bits(sizes) + 7) // 8


def tensors_of(
    frame: Frame, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]]
) -> tuple[StoredTensor, ...]:
    """Return the tensors of an artifact in the order of their bytes; arguments are those of ``artifact_bytes``."""
    dims = chain.from_iterable([dim] * len(own) for dim, own in zip(frame.vector_sizes, tier_sizes, strict=True))
    tiers = list(zip(quantizers, chain.from_iterable(tier_sizes), dims, strict=True))
    halves = sum(q.values(size, dim) if q.value_bytes == HALF else q.scales for q, size, dim in tiers)
    payload = sum(q.payload_bytes(size, dim) for q, size, dim in tiers) + sum(map(tier_bytes, tier_sizes))
    return frame.tensors(halves, payload - HALF * halves)


def artifact_bytes(
    frame: Frame, origin: Origin, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]] | None = None
) -> int:
    """Return the exact size of an artifact; of a compact one, that of which nothing is entropy coded.

    It is the sum of ``fixed_bytes`` and, for each field, of ``entry_bytes``, ``tier_bytes`` and the payloads of its
    tiers, as long as no tier takes more than it would raw.

    Args:
        frame: what is fixed of it.
        origin: what it says of itself.
        quantizers: of each tier, field by field.
        tier_sizes: categories in each tier of each field with a table; one tier each where nothing else is said.
    """
    sizes = tier_sizes or [(field.cardinality,) for field in frame.schema.fields]
    if origin.compact:
        return compact_header.file_bytes(_compact_bytes(frame, origin, quantizers, sizes))
    tensors = tensors_of(frame, quantizers, sizes)
    return header_bytes(frame, origin, quantizers, sizes) + sum(tensor.nbytes for tensor in tensors)


def _compact_bytes(
    frame: Frame, origin: Origin, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]]
) -> int:
    """Return the bytes of a compact artifact of which nothing is entropy coded, the container's header left out."""
    dims = chain.from_iterable([dim] * len(own) for dim, own in zip(frame.vector_sizes, tier_sizes, strict=True))
    tiers = zip(quantizers, chain.from_iterable(tier_sizes), dims, strict=True)
    payload = sum(q.compact_bytes(size, dim) for q, size, dim in tiers) + sum(map(tier_bytes, tier_sizes))
    payload += frame.numeric.nbytes + frame.dense_layers.nbytes + frame.vocabulary_bytes
    return compact_header.header_bytes(frame, origin, quantizers, tier_sizes) + payload


def header_bytes(
    frame: Frame, origin: Origin, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]] | None = None
) -> int:
    """Return the bytes that the header takes, whatever the figures in it; arguments are those of ``artifact_bytes``."""
    sizes = tier_sizes or [(field.cardinality,) for field in frame.schema.fields]
    if origin.compact:
        size = _compact_bytes(frame, origin, quantizers, sizes)
        own = compact_header.header_bytes(frame, origin, quantizers, sizes)
        return own + compact_header.file_bytes(size) - size
    entries = sum(map(entry_bytes, frame.schema.fields, by_field(quantizers, sizes), sizes))
    return _rest_bytes(frame, origin, tensors_of(frame, quantizers, sizes)) + entries


def fixed_bytes(frame: Frame, origin: Origin) -> int:
    """Return the bytes of an artifact that belong to no field with a table.

    They are the bias, the numeric weights, dense layers, the vocabulary, and the header without the entries of these
    fields.
    """
    if origin.compact:
        payload = frame.numeric.nbytes + frame.dense_layers.nbytes + frame.vocabulary_bytes
        return compact_header.rest_bytes(frame, origin) + payload
    return _rest_bytes(frame, origin) + sum(tensor.nbytes for tensor in frame.tensors(0, 0))


def entry_bytes(field: Field, quantizers: Sequence[Quantizer], sizes: Sequence[int], *, compact: bool = False) -> int:
    """Return the bytes that the entry of a field takes in the header, with its comma.

    Args:
        field: the field.
        quantizers: of each of its tiers.
        sizes: categories in each tier.
        compact: whether the artifact is compact.
    """
    if compact:
        return compact_header.entry_bytes(field, quantizers, sizes)
    tiers = [Tier(size, quantizer, LONGEST_ERROR) for size, quantizer in zip(sizes, quantizers, strict=True)]
    return _in_header(encode_entry(field, tiers))


def embedding_name_bytes(quantizer: Quantizer, *, compact: bool = False) -> int:
    """Return the bytes that tell of the embeddings' quantizer in the entry of a field."""
    return compact_header.embedding_name_bytes(quantizer) if compact else len(embedding_spec(quantizer))


def linear_name_bytes(quantizer: Quantizer, *, compact: bool = False) -> int:
    """Return the bytes that tell of the linear weights' quantizer in the entry of a field."""
    return compact_header.linear_name_bytes(quantizer) if compact else len(linear_spec(quantizer))


def _in_header(entry: str) -> int:
    """Return the bytes that an entry takes in the header, with its comma."""
    return len(canonical_json(entry).encode()) - len(_QUOTES) + len(_COMMA)


def _rest_bytes(frame: Frame, origin: Origin, tensors: Sequence[StoredTensor] = ()) -> int:
    """Return the bytes of a header without the entries of fields with tables, one comma less.

    Sizes and offsets of tensors take as much room as in an artifact that holds everything raw, or as in this one.
    """
    numbers = frame.raw_numbers
    largest = frame.tensors(numbers, HALF * numbers + frame.schema.categories)
    if tensors:
        largest = tuple(max(pair, key=lambda tensor: tensor.size) for pair in zip(largest, tensors, strict=True))
    quality = {name: longest(found) for name, found in origin.quality.items()}
    widest = replace(origin, budget_bytes=max(_LARGEST_BUDGET, origin.budget_bytes), quality=quality)
    empty = len(encode_header(compose(frame, widest, [], UNSEALED), largest))
    return empty + sum(map(_in_header, encode_table_less(frame.schema).values())) - len(_COMMA)
