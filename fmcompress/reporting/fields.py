"""What each field of an artifact takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from fmcompress.artifact import Header
from fmcompress.artifact.layout import FieldLayout, TierLayout, field_layouts
from fmcompress.fm.quantizer import embedding_spec, linear_spec
from fmcompress.fm.schema import Field, NumericField, SharedField
from fmcompress.fm.tiers import by_field

FLOAT_BYTES = 4

Kind = Literal["categorical", "shared", "numeric", "linear"]
"""Kinds of fields; those that are linear are numeric, but without embedding."""


@dataclass(frozen=True)
class FieldReport:
    """One field of an artifact, or one of its tiers.

    Attributes:
        name: its name.
        cardinality: its number of categories, or of those of the table that it shares; 0 where it is numeric.
        quantizer: how embeddings are stored: ``raw``, ``shared``, or subspaces x codewords, with ``:8`` for int8; of
            several tiers the names are joined by ``+``. Of a numeric field ``fp32``, or ``none`` if it is linear only.
        linear_quantizer: how linear weights are stored: ``raw``, ``shared``, or a number of codewords; ``fp32`` of a
            numeric field.
        code_bits: bits of a row's codes; of several tiers the most.
        codes_bytes: bytes of the embeddings' codes, and of the stream that tells the tiers.
        codebook_bytes: bytes of the embeddings' codebooks, and of their scales.
        raw_bytes: bytes of raw embeddings, and of their scales.
        linear_bytes: bytes of the linear weights, their codes and codebook.
        bytes: all of these.
        share: their share of the file.
        error: expected rise of the loss per row; in nats, or of a regression in squares of its unit.
        tiers: its tiers, with the same figures; empty where the field is stored as a whole.
        kind: ``categorical``, ``shared``, ``numeric``, or ``linear`` for a numeric field without embedding.
        table: the field whose table it shares, and whose bytes are counted there; None for all other kinds.
        pad: id that stands for no value; None where there is none.
        source_fp32_bytes: what it takes in the checkpoint, in fp32.
    """

    name: str
    cardinality: int
    quantizer: str
    linear_quantizer: str
    code_bits: int
    codes_bytes: int
    codebook_bytes: int
    raw_bytes: int
    linear_bytes: int
    bytes: int
    share: float
    error: float
    tiers: tuple[FieldReport, ...] = ()
    kind: Kind = "categorical"
    table: str | None = None
    pad: int | None = None
    source_fp32_bytes: int = 0


def field_reports(header: Header, file_bytes: int) -> Iterator[FieldReport]:
    """Yield the reports of all fields, in the order in which the model's tool takes them."""
    schema = header.schema
    errors = by_field(header.errors, header.tier_sizes)
    tables = {
        field.name: _with_source(_table_report(layout, field, own, file_bytes), header.dim)
        for layout, field, own in zip(field_layouts(header), schema.fields, errors, strict=True)
    }
    for field in schema.all_fields:
        if isinstance(field, Field):
            yield tables[field.name]
        elif isinstance(field, SharedField):
            yield _shared_report(field, tables[field.table])
        else:
            yield _numeric_report(field, header.dim, file_bytes)


def _with_source(table: FieldReport, dim: int) -> FieldReport:
    """Return the report of a field, and of its tiers, with the bytes of the checkpoint."""
    row_bytes = FLOAT_BYTES * (dim + 1)
    tiers = tuple(replace(tier, source_fp32_bytes=row_bytes * tier.cardinality) for tier in table.tiers)
    return replace(table, source_fp32_bytes=row_bytes * table.cardinality, tiers=tiers)


def _shared_report(field: SharedField, table: FieldReport) -> FieldReport:
    """Return the report of a field that looks up what is counted as another one's."""
    return replace(
        table,
        name=field.name,
        kind="shared",
        table=field.table,
        codes_bytes=0,
        codebook_bytes=0,
        raw_bytes=0,
        linear_bytes=0,
        bytes=0,
        share=0.0,
        error=0.0,
        tiers=(),
        source_fp32_bytes=0,
    )


def _numeric_report(field: NumericField, dim: int, file_bytes: int) -> FieldReport:
    embedding_bytes = 0 if field.linear_only else FLOAT_BYTES * dim
    return FieldReport(
        name=field.name,
        cardinality=0,
        quantizer="none" if field.linear_only else "fp32",
        linear_quantizer="fp32",
        code_bits=0,
        codes_bytes=0,
        codebook_bytes=0,
        raw_bytes=embedding_bytes,
        linear_bytes=FLOAT_BYTES,
        bytes=embedding_bytes + FLOAT_BYTES,
        share=(embedding_bytes + FLOAT_BYTES) / file_bytes,
        error=0.0,
        kind="linear" if field.linear_only else "numeric",
        source_fp32_bytes=embedding_bytes + FLOAT_BYTES,
    )


def _table_report(layout: FieldLayout, field: Field, errors: Sequence[float], file_bytes: int) -> FieldReport:
    names = [f"{field.name}, tier {number} of {len(errors)}" for number in range(1, len(errors) + 1)]
    tiers = tuple(
        _tier_report(tier, name, error, file_bytes)
        for tier, name, error in zip(layout.tiers, names, errors, strict=True)
    )
    if len(tiers) == 1:
        return replace(tiers[0], name=field.name, pad=field.pad)
    total = layout.tier_bytes + sum(tier.bytes for tier in tiers)
    return FieldReport(
        name=field.name,
        cardinality=sum(layout.sizes),
        quantizer=" + ".join(tier.quantizer for tier in tiers),
        linear_quantizer=" + ".join(tier.linear_quantizer for tier in tiers),
        code_bits=max(tier.code_bits for tier in tiers),
        codes_bytes=layout.tier_bytes + sum(tier.codes_bytes for tier in tiers),
        codebook_bytes=sum(tier.codebook_bytes for tier in tiers),
        raw_bytes=sum(tier.raw_bytes for tier in tiers),
        linear_bytes=sum(tier.linear_bytes for tier in tiers),
        bytes=total,
        share=total / file_bytes,
        error=sum(errors),
        tiers=tiers,
        pad=field.pad,
    )


def _tier_report(tier: TierLayout, name: str, error: float, file_bytes: int) -> FieldReport:
    quantizer = tier.quantizer
    vector_bytes = sum(table.nbytes for table in tier.tables)
    # Codes of both kinds share a stream: the linear weight's are what the stream would be shorter without.
    codes_bytes = (tier.cardinality * quantizer.embedding_code_bits + 7) // 8
    linear_bytes = tier.linear.nbytes + tier.code_bytes - codes_bytes
    total = vector_bytes + codes_bytes + linear_bytes
    return FieldReport(
        name=name,
        cardinality=tier.cardinality,
        quantizer=embedding_spec(quantizer),
        linear_quantizer=linear_spec(quantizer),
        code_bits=quantizer.row_bits,
        codes_bytes=codes_bytes,
        codebook_bytes=0 if quantizer.raw else vector_bytes,
        raw_bytes=vector_bytes if quantizer.raw else 0,
        linear_bytes=linear_bytes,
        bytes=total,
        share=total / file_bytes,
        error=error,
    )
