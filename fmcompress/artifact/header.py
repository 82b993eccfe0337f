"""What an artifact says of itself: the metadata in its header, and the bytes that it takes.

``docs/format.md`` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from fmcompress.artifact.container import Tensor, canonical_json, encode_header, parse_json
from fmcompress.artifact.entries import LONGEST_ERROR, Tier, decode_entry, encode_entry
from fmcompress.artifact.origin import (
    DEFAULTS,
    LONGEST_SCORE,
    Origin,
    Quality,
    decode_origin,
    encode_origin,
    whole,
)
from fmcompress.errors import ArtifactError, UsageError
from fmcompress.links import parse_link
from fmcompress.quantizer import HALF, INT8, Quantizer, code_bits
from fmcompress.schema import Field, Schema
from fmcompress.tiers import by_field, parts_of

__all__ = [
    "BIAS_BYTES",
    "SCHEMA_VERSION",
    "UNSEALED",
    "Header",
    "Origin",
    "Quality",
    "artifact_bytes",
    "decode",
    "encode",
    "entry_bytes",
    "fixed_bytes",
    "header_bytes",
    "tier_bits",
    "tier_bytes",
]

SCHEMA_VERSION = 1
BIAS_BYTES = 4
UNSEALED = "0" * 64
"""Stands in for the SHA-256 while it is computed."""

_MAX_DIM = 65_536
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEFAULTS = {**DEFAULTS, "link": "sigmoid"}
# The budget has a place of its own however small it is: were the header a little larger for a larger budget, the
# smallest budget that works could not be told.
_LARGEST_BUDGET = 10**12 - 1
_QUOTES, _COMMA = '""', ","


@dataclass(frozen=True)
class Header:
    """The metadata of an artifact.

    Attributes:
        schema: fields, in the order of their bytes.
        dim: embedding size l.
        link: from logit to prediction.
        quantizers: how each part is stored: field by field, tier by tier.
        errors: expected rise of the loss per row by each part; written with 2 digits, from 1e-9 up to 10⁵.
        origin: where the artifact comes from.
        tier_sizes: categories in each tier of each field; one tier each where nothing else is said.
    """

    schema: Schema
    dim: int
    link: str
    quantizers: tuple[Quantizer, ...]
    errors: tuple[float, ...]
    origin: Origin
    tier_sizes: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.tier_sizes:
            object.__setattr__(self, "tier_sizes", one_tier_each(self.schema))

    @cached_property
    def parts(self) -> Schema:
        """The parts of the fields, as a schema of their own."""
        return parts_of(self.tier_sizes)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """The tensors of the artifact: bias, values and codes, the latter two part by part."""
        return _tensors(self.dim, self.quantizers, self.tier_sizes)

    @cached_property
    def header_bytes(self) -> int:
        """Size of the container's length and header: fixed before the figures are known."""
        return header_bytes(self.schema, self.dim, self.link, self.origin, self.quantizers, self.tier_sizes)


def one_tier_each(schema: Schema) -> tuple[tuple[int, ...], ...]:
    """Return the sizes of tiers of fields that are not split."""
    return tuple((field.cardinality,) for field in schema.fields)


def tier_bits(sizes: Sequence[int]) -> int:
    """Return the bits that tell the tier of a category of a field with tiers of these sizes."""
    return code_bits(len(sizes))


def tier_bytes(sizes: Sequence[int]) -> int:
    """Return the bytes of the stream that tells the tier of each category of a field."""
    return (sum(sizes) * tier_bits(sizes) + 7) // 8


def _tensors(
    dim: int, quantizers: Sequence[Quantizer], tier_sizes: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    parts = list(zip(quantizers, chain.from_iterable(tier_sizes), strict=True))
    halves = sum(q.scales if q.value_bytes == INT8 else q.values(size, dim) for q, size in parts)
    payload = sum(q.payload_bytes(size, dim) for q, size in parts) + sum(map(tier_bytes, tier_sizes))
    return Tensor("bias", "F32", 1), Tensor("values", "F16", halves), Tensor("codes", "U8", payload - HALF * halves)


def artifact_bytes(
    schema: Schema,
    dim: int,
    link: str,
    origin: Origin,
    quantizers: Sequence[Quantizer],
    tier_sizes: Sequence[Sequence[int]] | None = None,
) -> int:
    """Return the exact size of an artifact.

    It is the sum of ``fixed_bytes`` and, for each field, of ``entry_bytes``, ``tier_bytes`` and the payloads of its
    parts, as long as no part takes more than it would raw.

    Args:
        schema: the fields.
        dim: embedding size l.
        link: from logit to prediction.
        origin: what the artifact says of itself.
        quantizers: of each part.
        tier_sizes: categories in each tier of each field; one tier each where nothing else is said.
    """
    tensors = _tensors(dim, quantizers, tier_sizes or one_tier_each(schema))
    payload = sum(tensor.nbytes for tensor in tensors)
    return header_bytes(schema, dim, link, origin, quantizers, tier_sizes) + payload


def header_bytes(
    schema: Schema,
    dim: int,
    link: str,
    origin: Origin,
    quantizers: Sequence[Quantizer],
    tier_sizes: Sequence[Sequence[int]] | None = None,
) -> int:
    """Return the bytes that the header takes, whatever the figures in it; arguments are those of ``artifact_bytes``.

    Errors, scores and the budget are known last; the header is filled up with spaces to what their longest texts
    take, so that bytes can be counted beforehand.
    """
    sizes = tier_sizes or one_tier_each(schema)
    entries = sum(map(entry_bytes, schema.fields, by_field(quantizers, sizes), sizes))
    return _rest_bytes(schema, dim, link, origin, _tensors(dim, quantizers, sizes)) + entries


def fixed_bytes(schema: Schema, dim: int, link: str, origin: Origin) -> int:
    """Return the bytes of an artifact that belong to no field: bias, and header without entries."""
    return _rest_bytes(schema, dim, link, origin) + BIAS_BYTES


def entry_bytes(field: Field, quantizers: Sequence[Quantizer], sizes: Sequence[int]) -> int:
    """Return the bytes that the entry of a field takes in the header, with its comma.

    Args:
        field: the field.
        quantizers: of each of its tiers.
        sizes: categories in each tier.
    """
    tiers = [Tier(size, quantizer, LONGEST_ERROR) for size, quantizer in zip(sizes, quantizers, strict=True)]
    return len(canonical_json(encode_entry(field, tiers)).encode()) - len(_QUOTES) + len(_COMMA)


def _rest_bytes(schema: Schema, dim: int, link: str, origin: Origin, tensors: Sequence[Tensor] = ()) -> int:
    """Return the bytes of a header without its entries, one comma less.

    Sizes and offsets of tensors take as much room as in an artifact that holds everything raw, or as in this one.
    """
    numbers = schema.categories * (dim + 1)
    largest = [
        Tensor("bias", "F32", 1),
        Tensor("values", "F16", numbers),
        Tensor("codes", "U8", HALF * numbers + schema.categories),
    ]
    if tensors:
        largest = [max(pair, key=lambda tensor: tensor.size) for pair in zip(largest, tensors, strict=True)]
    quality = {name: Quality(q.rows, LONGEST_SCORE, LONGEST_SCORE) for name, q in origin.quality.items()}
    longest = replace(origin, budget_bytes=max(_LARGEST_BUDGET, origin.budget_bytes), quality=quality)
    return len(encode_header(_metadata(dim, link, longest, [], UNSEALED), largest)) - len(_COMMA)


def encode(header: Header, sha256: str) -> str:
    """Return the metadata as canonical JSON; ``sha256`` seals it and the payload."""
    sizes = chain.from_iterable(header.tier_sizes)
    tiers = [Tier(*tier) for tier in zip(sizes, header.quantizers, header.errors, strict=True)]
    entries = list(map(encode_entry, header.schema.fields, by_field(tiers, header.tier_sizes)))
    return _metadata(header.dim, header.link, header.origin, entries, sha256)


def _metadata(dim: int, link: str, origin: Origin, entries: Sequence[str], sha256: str) -> str:
    """Return the text, with the entries of the fields as they are; what goes without saying is left out."""
    values = {
        **encode_origin(origin),
        "schema_version": SCHEMA_VERSION,
        "link": link,
        "dim": dim,
        "sha256": sha256,
    }
    texts = {key: canonical_json(value) for key, value in values.items() if value != _DEFAULTS.get(key)}
    texts["fields"] = f"[{','.join(entries)}]"
    return "{" + ",".join(f'"{key}":{text}' for key, text in sorted(texts.items())) + "}"


def decode(metadata: str) -> tuple[Header, str]:
    """Return header and SHA-256 of a metadata text; the inverse of ``encode``.

    Raises:
        ArtifactError: the text is no metadata of an artifact, or of a newer schema version.
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
    try:
        if version != SCHEMA_VERSION or not _SHA256.fullmatch(found["sha256"]):
            raise ValueError("schema version or SHA-256")
        return _header({**_DEFAULTS, **found}), found["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, UsageError) as error:
        raise ArtifactError(f"is damaged: its metadata cannot be used ({str(error)[:100]})") from error


def _header(found: Mapping[str, Any]) -> Header:
    dim, link = whole(found["dim"]), found["link"]
    if not 1 <= dim <= _MAX_DIM:
        raise ValueError(f"dim {dim}")
    parse_link(link)
    entries = [decode_entry(*entry) for entry in found["fields"]]
    tiers = [tier for _, tiers in entries for tier in tiers]
    if any(len(tier.quantizer.codewords) > dim for tier in tiers):
        raise ValueError("more subspaces than coordinates")
    return Header(
        schema=Schema(tuple(field for field, _ in entries)),
        dim=dim,
        link=link,
        quantizers=tuple(tier.quantizer for tier in tiers),
        errors=tuple(tier.error for tier in tiers),
        origin=decode_origin(found),
        tier_sizes=tuple(tuple(tier.size for tier in tiers) for _, tiers in entries),
    )
