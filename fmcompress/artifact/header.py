"""What an artifact says of itself: the metadata in its header.

``docs/format.md`` is the specification.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from fmcompress.artifact.container import StoredTensor, parse_json
from fmcompress.artifact.counting import header_bytes, one_tier_each, tensors_of
from fmcompress.artifact.metadata import (
    DEFAULTS,
    SCHEMA_VERSION,
    Frame,
    Tier,
    compose,
    decode_entry,
    encode_entry,
    encode_table_less,
)
from fmcompress.artifact.origin import Origin, decode_origin, text, whole
from fmcompress.errors import ArtifactError, UsageError
from fmcompress.fm.links import Link
from fmcompress.fm.quantizer import Quantizer
from fmcompress.fm.schema import Schema
from fmcompress.fm.tiers import by_field, parts_of

_MAX_DIM = 65_536
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Header:
    """The metadata of an artifact.

    Attributes:
        frame: what was fixed before quantizing.
        quantizers: how each part is stored: field by field, tier by tier.
        errors: expected rise of the loss per row by each part; written with 2 digits, from 1e-9 up to 10⁵.
        origin: where the artifact comes from.
        tier_sizes: categories in each tier of each field with a table; one tier each where nothing else is said.
    """

    frame: Frame
    quantizers: tuple[Quantizer, ...]
    errors: tuple[float, ...]
    origin: Origin
    tier_sizes: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.tier_sizes:
            object.__setattr__(self, "tier_sizes", one_tier_each(self.schema))

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

    @property
    def link_function(self) -> Link:
        """The link, ready to be used."""
        return self.frame.link_function

    @cached_property
    def parts(self) -> Schema:
        """The parts of the fields with tables, as a schema of their own."""
        return parts_of(self.tier_sizes)

    @cached_property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """The tensors of the artifact in the order of their bytes; values and codes part by part."""
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
    """Return the metadata as canonical JSON; ``sha256`` seals it and the payload."""
    sizes = chain.from_iterable(header.tier_sizes)
    every = [Tier(*tier) for tier in zip(sizes, header.quantizers, header.errors, strict=True)]
    tiers = by_field(every, header.tier_sizes)
    entries = encode_table_less(header.schema)
    entries |= {field.name: encode_entry(field, own) for field, own in zip(header.schema.fields, tiers, strict=True)}
    ordered = [entries[field.name] for field in header.schema.all_fields]
    return compose(header.frame, header.origin, ordered, sha256)


def decode(metadata: str, *, vocabulary_bytes: int = 0) -> tuple[Header, str]:
    """Return header and SHA-256 of a metadata text; the inverse of ``encode``.

    Args:
        metadata: the text.
        vocabulary_bytes: size of the vocabulary, of which the text does not tell.

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
        return _header({**DEFAULTS, **found}, vocabulary_bytes), found["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, UsageError) as error:
        raise ArtifactError(f"is damaged: its metadata cannot be used ({str(error)[:100]})") from error


def _header(found: Mapping[str, Any], vocabulary_bytes: int) -> Header:
    dim, link = whole(found["dim"]), text(found["link"])
    if not 1 <= dim <= _MAX_DIM:
        raise ValueError(f"dim {dim}")
    entries = [decode_entry(*entry) for entry in found["fields"]]
    tiers = [tier for _, tiers in entries for tier in tiers]
    if any(len(tier.quantizer.codewords) > dim for tier in tiers):
        raise ValueError("more subspaces than coordinates")
    frame = Frame(Schema.in_order(field for field, _ in entries), dim, link, vocabulary_bytes)
    if frame.link != link:
        raise ValueError(f"link {link}")
    return Header(
        frame=frame,
        quantizers=tuple(tier.quantizer for tier in tiers),
        errors=tuple(tier.error for tier in tiers),
        origin=decode_origin(found, regression=frame.link_function.regression),
        tier_sizes=tuple(tuple(tier.size for tier in tiers) for _, tiers in entries if tiers),
    )
