"""What a memory report tells, as tables and sentences, whatever the format: facts, parts, fields, scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from fmcompress.reporting.curve import NUMBERS, PROBABILITIES, Curve
from fmcompress.reporting.document import NOTHING, Block, Paragraph, Table, facts_table
from fmcompress.reporting.report_data import FIELD_PARTS, PARTS, FieldReport, ReportData
from fmcompress.sizes import format_size
from fmcompress.text import shortened, with_error

TOP = 20
"""Fields that Markdown and pictures show: the largest ones."""

NOT_TOLD = "not told"
"""Stands for what a file without provenance does not say."""

LONGEST_NAME = 80
"""Characters of a name that Markdown shows."""

QUALITY_NAMES = {"source": "checkpoint", "untuned": "quantized", "artifact": "artifact"}
FIELD_HEAD = (
    "field", "embedding", "linear", "categories", "bits/row",
    "codes", "codebooks", "raw", "linear part", "bytes", "share", "error",
)  # fmt: skip

_OPTIONAL = ("numeric_bytes", "network_bytes", "vocabulary_bytes", "keys_bytes", "provenance_bytes")
_NUMERIC = {"numeric": "numeric, fp32", "linear": "numeric, linear only"}


class _HasBytes(Protocol):
    @property
    def bytes(self) -> int: ...


Sized = TypeVar("Sized", bound=_HasBytes)
"""A field or a table."""


@dataclass(frozen=True)
class Options:
    """What a format is asked for.

    Attributes:
        name: what the artifact is called.
        top: fields that Markdown shows, the largest ones; None shows all.
        curve: sizes and quality of the same model, for a picture.
    """

    name: str = ""
    top: int | None = TOP
    curve: Curve | None = None


@dataclass(frozen=True)
class Part:
    """A part of the file, or of a field.

    Attributes:
        kind: what it is, for its colour: ``codes``, ``numeric``, …
        key: place of its figure in the report's JSON.
        name: what it is called.
        bytes: its size.
    """

    kind: str
    key: str
    name: str
    bytes: int

    @classmethod
    def of(cls, figure: str, where: str, size: int) -> Part:
        """Return the part that a figure is of, such as ``codes_bytes``."""
        return cls(figure.removesuffix("_bytes"), where + figure, PARTS[figure], size)


def blocks(report: ReportData, *, top: int | None = None, longest: int | None = None) -> list[Block]:
    """Return all that there is to tell, with so many of the largest fields, and names of at most so many characters."""
    shown, left = largest(report.fields, top)
    rest = [Paragraph([left_out(left)])] if left else []
    tables = [facts_table(facts(report)), parts_table(report), fields_table(shown, longest=longest)]
    return [*tables, *rest, *quality_tables(report)]


def largest(fields: Sequence[Sized], top: int | None) -> tuple[list[Sized], list[Sized]]:
    """Return the largest fields, in descending order, and the rest; all as they stand where that is none."""
    if top is None or len(fields) <= top:
        return list(fields), []
    ranked = sorted(fields, key=lambda field: -field.bytes)
    return ranked[:top], ranked[top:]


def left_out(fields: Sequence[FieldReport]) -> str:
    """Return a sentence for fields that are not shown."""
    plural = "s" if len(fields) > 1 else ""
    return f"and {len(fields):,} more field{plural}, {sum(field.bytes for field in fields):,} bytes"


def facts(report: ReportData) -> list[tuple[str, str]]:
    """Return what there is to know of the whole artifact."""
    slack = report.budget_bytes - report.file_bytes
    budget = f"{format_size(report.budget_bytes)}, {slack:,} left" if report.method else NOT_TOLD
    return [
        ("file", format_size(report.file_bytes)),
        ("budget", budget),
        ("checkpoint in fp32", f"{format_size(report.source_fp32_bytes)}, {report.ratio:.2f} times the file"),
        ("bits per weight", f"{report.bits_per_weight:.3f}"),
        *([("entropy coded", coding(report))] if report.uncoded_bytes else []),
        ("in memory, scoring", format_size(report.resident_bytes)),
        ("in memory, decoded", format_size(report.decoded_bytes)),
        ("paper's Params", f"{report.paper_params_mib:.4f} MiB, of the FM {report.paper_fm_mib:.4f} MiB"),
        (f"rise of {'half the squared error' if report.regression else 'LogLoss'}", rises(report)),
        *([("logits, on drawn rows", errors)] if (errors := logit_errors(report)) else []),
        ("embedding size", str(report.dim)),
        *([("network", report.network)] if report.network else []),
        ("link", report.link),
        *([("64-bit keys", keys)] if (keys := keys_of(report)) else []),
        ("method", f"{report.method}, seed {report.seed}" if report.method else NOT_TOLD),
        ("source", source(report.source) if report.method else NOT_TOLD),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(report.libraries.items())) or NOT_TOLD),
        *([("warning", "; ".join(report.warnings))] if report.warnings else []),
    ]


def coding(report: ReportData) -> str:
    """Return what is entropy coded, and what it would take otherwise."""
    saved = 1 - report.coded_bytes / report.uncoded_bytes
    return f"{report.coded_bytes:,} bytes of it, as they are {report.uncoded_bytes:,}: {saved:.1%} less"


def keys_of(report: ReportData) -> str:
    """Return what the keys of all fields take, and what look-ups may get wrong; nothing where there are none."""
    count = sum(own.keys for own in report.keys)
    if not count:
        return ""
    chance = max(own.false_hit for own in report.keys)
    hits = f"1 of {1 / chance:,.0f} unknown keys at most is taken for a known one" if chance else "known exactly"
    return f"{count:,} in {format_size(report.keys_bytes)}, {8 * report.keys_bytes / count:.1f} bits each; {hits}"


def times_smaller(report: ReportData) -> str:
    """Return how much smaller the file is than the checkpoint in fp32, in words; tiny models become larger."""
    return f"{report.ratio:.1f} times smaller" if report.ratio >= 1 else f"{1 / report.ratio:.1f} times larger"


def source(found: Sequence[str]) -> str:
    """Return where an artifact comes from, of tool, file name and SHA-256."""
    if len(found) != 3:
        return "a model in memory"
    tool, name, sha256 = found
    return f"{name} of {tool}, SHA-256 {sha256}" if name else "a model in memory"


def rises(report: ReportData) -> str:
    """Return the expected rise beside the measured ones; squared errors may have any size."""
    digits = "+.3g" if report.regression else "+.5f"
    found = ["predicted " + (NOT_TOLD if math.isnan(report.predicted_rise) else f"{report.predicted_rise:{digits}}")]
    if report.measured_rise_untuned is not None:
        found.append(f"measured before tuning {report.measured_rise_untuned:{digits}}")
    if report.measured_rise is not None:
        found.append(f"after {report.measured_rise:{digits}}")
    return ", ".join(found)


def logit_errors(report: ReportData) -> str | None:
    """Return how far logits are from the checkpoint's on drawn rows; None where that is not known."""
    found = report.sampled
    if found is None:
        return None
    shown = f"off by {found.mean:.2g} on average, {found.largest:.2g} at most"
    return f"{shown}; the checkpoint's spread by {found.spread:.2g}"


def file_parts(report: ReportData) -> list[Part]:
    """Return the parts of the file; those that few models have only if it has."""
    return [Part.of(name, "", size) for name, size in report.parts.items() if size or name not in _OPTIONAL]


def field_parts(place: int, field: FieldReport) -> list[Part]:
    """Return the parts of a field, by its place in the model."""
    parts = [Part.of(name, f"fields.{place}.", getattr(field, name)) for name in FIELD_PARTS if getattr(field, name)]
    return [replace(part, kind="numeric") for part in parts] if field.numeric else parts


def parts_table(report: ReportData) -> Table:
    """Return the table of the parts of the file."""
    rows = [(part.name, f"{part.bytes:,}", f"{part.bytes / report.file_bytes:.1%}") for part in file_parts(report)]
    return Table(("part", "bytes", "share"), [*rows, ("total", f"{report.file_bytes:,}", "100.0%")])


def fields_table(fields: Sequence[FieldReport], *, longest: int | None = None) -> Table:
    """Return the table of fields and of their tiers, with names of at most so many characters."""
    rows = [field_cells(part, longest=longest) for field in fields for part in (field, *field.tiers)]
    return Table(FIELD_HEAD, rows, left=3)


def field_cells(part: FieldReport, *, longest: int | None = None) -> tuple[str, ...]:
    """Return the cells of a field, or of one of its tiers, in the table of fields."""
    embedding, linear = _NUMERIC.get(part.kind, part.quantizer), part.linear_quantizer
    if part.table is not None:
        embedding, linear = f"shares the table of {limited(part.table, longest)}", NOTHING
    return (
        limited(part.name, longest),
        embedding,
        linear,
        categories(part),
        str(part.code_bits),
        *(f"{getattr(part, name):,}" for name in (*FIELD_PARTS, "bytes")),
        f"{part.share:.1%}",
        NOTHING if math.isnan(part.error) else f"{part.error:.1e}",
    )


def categories(part: FieldReport) -> str:
    """Return how many categories a field has, which of them stands for none, and how several in a row are pooled."""
    if part.numeric:
        return NOTHING
    pad = "" if part.pad is None else f", PAD {part.pad}"
    return f"{part.cardinality:,}{pad}" + ("" if part.pooling is None else f", {part.pooling}")


def limited(name: str, longest: int | None) -> str:
    """Return a name in at most so many characters."""
    return name if longest is None else shortened(name, longest)


def scores(report: ReportData) -> Mapping[str, str]:
    """Return the scores that the model is measured by, and what they are called."""
    return NUMBERS if report.regression else PROBABILITIES


def score_text(report: ReportData, score: float) -> str:
    """Return a score in as many digits as it has."""
    return f"{score:{'.6g' if report.regression else '.5f'}}"


def quality_text(report: ReportData, name: str, score: str) -> str:
    """Return a score on validation data, of the AUC with its standard error where the file tells it."""
    found = report.quality[name]
    shown = score_text(report, getattr(found, score))
    return with_error(shown, found.auc_standard_error) if score == "auc" else shown


def quality_tables(report: ReportData) -> list[Table]:
    """Return the table of scores, if there are any."""
    rows = [
        (shown, f"{report.quality[key].rows:,}", *(quality_text(report, key, score) for score in scores(report)))
        for key, shown in QUALITY_NAMES.items()
        if key in report.quality
    ]
    return [Table(("on validation data", "rows", *scores(report).values()), rows)] if report.quality else []
