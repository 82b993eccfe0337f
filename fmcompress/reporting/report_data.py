"""The memory report of an artifact as data: its figures, and those of each field, from the header alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fmcompress.artifact import Header, Quality
from fmcompress.artifact.file_sizes import FieldSizes, FileSizes, TierSizes
from fmcompress.artifact.layout import FieldLayout, TierLayout, field_layouts
from fmcompress.artifact.origin import PLAIN, Sampled
from fmcompress.fm.field_keys import StoredKeys
from fmcompress.fm.links import parse_link
from fmcompress.fm.quantizer import embedding_spec, linear_spec
from fmcompress.fm.schema import Field, NumericField, SharedField
from fmcompress.fm.tiers import by_field

FLOAT_BYTES = 4

PARTS = {
    "codes_bytes": "codes",
    "codebook_bytes": "codebooks",
    "raw_bytes": "raw embeddings",
    "linear_bytes": "linear part and bias",
    "numeric_bytes": "numeric fields",
    "network_bytes": "dense layers",
    "vocabulary_bytes": "vocabulary",
    "keys_bytes": "64-bit keys",
    "header_bytes": "header",
    "provenance_bytes": "provenance",
}
"""Figures of the parts of a file, and what the parts are called."""

FIELD_PARTS = ("codes_bytes", "codebook_bytes", "raw_bytes", "linear_bytes")
"""Those that fields have."""

Kind = Literal["categorical", "shared", "numeric", "linear"]
"""Kinds of fields; those that are linear are numeric, but without embedding."""


@dataclass(frozen=True)
class FieldReport:
    """One field of an artifact, or one of its tiers.

    Attributes:
        name: its name.
        cardinality: its number of categories, or of those of the table that it shares; 0 where it is numeric.
        quantizer: how embeddings are stored: ``raw``, ``shared``, or subspaces x codewords, with ``:8`` for int8 and
            ``:32`` for fp32; of several tiers the names joined by ``+``. Of a numeric field ``fp32``, or ``none`` if
            it is linear only.
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
        pooling: what becomes of several values in a row; None where there is one at most.
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
    pooling: str | None = None

    @property
    def numeric(self) -> bool:
        """Whether its values are numbers, not categories."""
        return self.kind in ("numeric", "linear")


@dataclass(frozen=True)
class ReportData:
    """The figures of a memory report; ``Report`` says what each is."""

    file_bytes: int
    budget_bytes: int
    header_bytes: int
    codes_bytes: int
    codebook_bytes: int
    raw_bytes: int
    linear_bytes: int
    source_fp32_bytes: int
    ratio: float
    bits_per_weight: float
    resident_bytes: int
    decoded_bytes: int
    paper_params_mib: float
    paper_fm_mib: float
    dim: int
    link: str
    method: str
    seed: int
    source: tuple[str, ...]
    libraries: dict[str, str]
    quality: dict[str, Quality]
    predicted_rise: float
    measured_rise_untuned: float | None
    measured_rise: float | None
    fields: tuple[FieldReport, ...]
    numeric_bytes: int = 0
    vocabulary_bytes: int = 0
    source_linear_bytes: int = 0
    warnings: tuple[str, ...] = ()
    sampled: Sampled | None = None
    network: str | None = None
    network_bytes: int = 0
    keys_bytes: int = 0
    keys: tuple[StoredKeys, ...] = ()
    layout: str = PLAIN
    provenance_bytes: int = 0
    coded_bytes: int = 0
    uncoded_bytes: int = 0

    @property
    def regression(self) -> bool:
        """Whether predictions are numbers of any size, not probabilities."""
        return parse_link(self.link).regression

    @property
    def parts(self) -> dict[str, int]:
        """Bytes of the parts of the file, by the names of their figures; they add up to the file."""
        return {name: getattr(self, name) for name in PARTS}


def field_reports(header: Header, stored: FileSizes) -> Iterator[FieldReport]:
    """Yield the reports of all fields, in the order in which the model's tool takes them."""
    file_bytes = stored.file_bytes
    schema, dim = header.schema, header.dim
    errors, sizes = by_field(header.errors, header.tier_sizes), header.frame.vector_sizes
    found = {
        field.name: _table_report(layout, field, own, size, (taken, file_bytes))
        for layout, field, own, size, taken in zip(
            field_layouts(header), schema.fields, errors, sizes, stored.fields, strict=True
        )
    }
    found |= {field.name: _shared_report(field, found[field.table]) for field in schema.shared}
    found |= {field.name: _numeric_report(field, dim, file_bytes) for field in schema.numeric}
    return (found[name] for name in schema.order)


def _shared_report(field: SharedField, table: FieldReport) -> FieldReport:
    """Return the report of a field that looks up what is counted as another one's."""
    nothing: dict[str, Any] = dict.fromkeys(("bytes", "source_fp32_bytes", *FIELD_PARTS), 0)
    own = replace(table, name=field.name, kind="shared", table=field.table, pooling=_pooling(field))
    return replace(own, share=0.0, error=0.0, tiers=(), **nothing)


def _pooling(field: Field | SharedField) -> str | None:
    return None if field.pooling is None else str(field.pooling)


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


def _table_report(
    layout: FieldLayout, field: Field, errors: Sequence[float], dim: int, stored: tuple[FieldSizes, int]
) -> FieldReport:
    taken, file_bytes = stored
    names = [f"{field.name}, tier {number} of {len(errors)}" for number in range(1, len(errors) + 1)]
    tiers = tuple(
        _tier_report(tier, name, error, dim, (own, file_bytes))
        for tier, name, error, own in zip(layout.tiers, names, errors, taken.tiers, strict=True)
    )
    if len(tiers) == 1:
        return replace(tiers[0], name=field.name, pad=field.pad, pooling=_pooling(field))
    sums = {name: sum(getattr(tier, name) for tier in tiers) for name in (*FIELD_PARTS, "source_fp32_bytes", "bytes")}
    sums["codes_bytes"] += taken.stream
    sums["bytes"] += taken.stream
    return FieldReport(
        name=field.name,
        cardinality=sum(layout.sizes),
        quantizer=" + ".join(tier.quantizer for tier in tiers),
        linear_quantizer=" + ".join(tier.linear_quantizer for tier in tiers),
        code_bits=max(tier.code_bits for tier in tiers),
        share=sums["bytes"] / file_bytes,
        error=sum(errors),
        tiers=tiers,
        pad=field.pad,
        pooling=_pooling(field),
        **sums,
    )


def _tier_report(tier: TierLayout, name: str, error: float, dim: int, stored: tuple[TierSizes, int]) -> FieldReport:
    quantizer = tier.quantizer
    taken, file_bytes = stored
    total = taken.tables + taken.codes + taken.linear
    return FieldReport(
        name=name,
        cardinality=tier.cardinality,
        quantizer=embedding_spec(quantizer),
        linear_quantizer=linear_spec(quantizer),
        code_bits=quantizer.row_bits,
        codes_bytes=taken.codes,
        codebook_bytes=0 if quantizer.raw else taken.tables,
        raw_bytes=taken.tables if quantizer.raw else 0,
        linear_bytes=taken.linear,
        bytes=total,
        share=total / file_bytes,
        error=error,
        source_fp32_bytes=FLOAT_BYTES * (dim + quantizer.has_linear) * tier.cardinality,
    )
