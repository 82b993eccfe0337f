"""The memory report of an artifact, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fmcompress.artifact import CompressedFM, Header, Quality, load
from fmcompress.artifact.header import BIAS_BYTES, tier_bytes
from fmcompress.artifact.layout import FieldLayout, PartLayout, field_layouts
from fmcompress.quantizer import Quantizer, embedding_spec, linear_spec
from fmcompress.reporting.paper import MIB, paper_params_mib
from fmcompress.serve.memory import resident_bytes
from fmcompress.tiers import by_field

_DECIMALS = 5
"""Of LogLoss, as it is written in the header: a difference of two has no more."""


@dataclass(frozen=True)
class FieldReport:
    """One field of an artifact, or one of its tiers.

    Attributes:
        name: its name.
        cardinality: its number of categories.
        quantizer: how embeddings are stored: ``raw``, ``shared``, or subspaces x codewords, with ``:8`` for int8; of
            several tiers the names are joined by ``+``.
        linear_quantizer: how linear weights are stored: ``raw``, ``shared``, or a number of codewords.
        code_bits: bits of a row's codes; of several tiers the most.
        codes_bytes: bytes of the embeddings' codes, and of the stream that tells the tiers.
        codebook_bytes: bytes of the embeddings' codebooks, and of their scales.
        raw_bytes: bytes of raw embeddings, and of their scales.
        linear_bytes: bytes of the linear weights, their codes and codebook.
        bytes: all of these.
        share: their share of the file.
        error: expected rise of the loss per row, in nats.
        tiers: its tiers, with the same figures; empty where the field is stored as a whole.
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


@dataclass(frozen=True)
class Report:
    """The memory report of an artifact.

    Attributes:
        file_bytes: size of the file.
        budget_bytes: size that was asked for.
        header_bytes: of the file, the header.
        codes_bytes: of the file, the embeddings' codes.
        codebook_bytes: of the file, the embeddings' codebooks.
        raw_bytes: of the file, raw embeddings.
        linear_bytes: of the file, the linear part; with the bias.
        source_fp32_bytes: embeddings and linear weights of the checkpoint in fp32.
        ratio: source_fp32_bytes over file_bytes.
        bits_per_weight: bits of the file per weight of the checkpoint.
        resident_bytes: what a scorer keeps in memory.
        decoded_bytes: what the decoded model would take in fp32.
        paper_params_mib: the paper's "Params" of the artifact; which tier a category is in counts as a code.
        paper_fm_mib: the paper's "Params" of the checkpoint.
        dim: embedding size.
        link: from logit to prediction.
        method: how the artifact was made.
        seed: its seed.
        source: tool, file name and SHA-256 of the checkpoint.
        libraries: versions of what made it.
        quality: rows, AUC and LogLoss on validation data of the checkpoint (``source``), of the artifact
            before tuning (``untuned``) and of the ``artifact``; empty where it was made without data.
        predicted_rise: rise of the LogLoss that quantizing was expected to cause, before tuning: the fields' errors.
        measured_rise_untuned: LogLoss before tuning, less the checkpoint's; None without data.
        measured_rise: LogLoss of the artifact, less the checkpoint's; None without data.
        fields: the fields, in the order of the schema.
    """

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

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, ready for JSON."""
        return asdict(self)

    def to_json(self) -> str:
        """Return the report as JSON."""
        from fmcompress.reporting.render import to_json

        return to_json(self)

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        from fmcompress.reporting.render import to_markdown

        return to_markdown(self)

    def to_text(self) -> str:
        """Return the report as plain text."""
        from fmcompress.reporting.render import to_text

        return to_text(self)


def report(artifact: str | Path | CompressedFM) -> Report:
    """Return the memory report of an artifact, from its header.

    Args:
        artifact: a file, or a model in memory.

    Raises:
        ArtifactError: the file is no artifact, or damaged.
    """
    model = artifact if isinstance(artifact, CompressedFM) else load(artifact)
    header, file_bytes = model.header, model.file_bytes
    fields = tuple(
        _field_report(layout, name, errors, file_bytes)
        for layout, name, errors in zip(
            field_layouts(header), header.schema.names, by_field(header.errors, header.tier_sizes), strict=True
        )
    )
    categories = header.schema.categories
    fp32_bytes = 4 * categories * (header.dim + 1)
    origin = header.origin
    return Report(
        file_bytes=file_bytes,
        budget_bytes=origin.budget_bytes,
        header_bytes=header.header_bytes,
        codes_bytes=sum(field.codes_bytes for field in fields),
        codebook_bytes=sum(field.codebook_bytes for field in fields),
        raw_bytes=sum(field.raw_bytes for field in fields),
        linear_bytes=sum(field.linear_bytes for field in fields) + BIAS_BYTES,
        source_fp32_bytes=fp32_bytes,
        ratio=fp32_bytes / file_bytes,
        bits_per_weight=8 * file_bytes / (fp32_bytes // 4 + 1),
        resident_bytes=resident_bytes(header),
        decoded_bytes=fp32_bytes + BIAS_BYTES,
        paper_params_mib=_paper_mib(header, header.quantizers) + sum(map(tier_bytes, header.tier_sizes)) / MIB,
        paper_fm_mib=_paper_mib(header, (Quantizer(),) * len(header.parts)),
        dim=header.dim,
        link=header.link,
        method=origin.method,
        seed=origin.seed,
        source=origin.source,
        libraries=dict(origin.libraries),
        quality=dict(origin.quality),
        predicted_rise=sum(header.errors),
        measured_rise_untuned=_rise(origin.quality, "untuned"),
        measured_rise=_rise(origin.quality, "artifact"),
        fields=fields,
    )


def _rise(quality: Mapping[str, Quality], name: str) -> float | None:
    if "source" not in quality or name not in quality:
        return None
    return round(quality[name].logloss - quality["source"].logloss, _DECIMALS)


def _paper_mib(header: Header, quantizers: tuple[Quantizer, ...]) -> float:
    return paper_params_mib([part.cardinality for part in header.parts.fields], quantizers, header.dim)


def _field_report(layout: FieldLayout, name: str, errors: Sequence[float], file_bytes: int) -> FieldReport:
    names = [f"{name}, tier {number} of {len(errors)}" for number in range(1, len(errors) + 1)]
    tiers = tuple(
        _part_report(part, tier, error, file_bytes)
        for part, tier, error in zip(layout.parts, names, errors, strict=True)
    )
    if len(tiers) == 1:
        return replace(tiers[0], name=name)
    total = layout.tier_bytes + sum(tier.bytes for tier in tiers)
    return FieldReport(
        name=name,
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
    )


def _part_report(part: PartLayout, name: str, error: float, file_bytes: int) -> FieldReport:
    quantizer = part.quantizer
    vector_bytes = sum(table.nbytes for table in part.tables)
    # Codes of both kinds share a stream: the linear weight's are what the stream would be shorter without.
    codes_bytes = (part.cardinality * quantizer.embedding_code_bits + 7) // 8
    linear_bytes = part.linear.nbytes + part.code_bytes - codes_bytes
    total = vector_bytes + codes_bytes + linear_bytes
    return FieldReport(
        name=name,
        cardinality=part.cardinality,
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
