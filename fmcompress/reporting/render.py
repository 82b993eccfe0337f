"""The memory report as text, JSON, Markdown, and as an annotation of GitHub."""

from __future__ import annotations

from collections.abc import Sequence

from fmcompress.artifact import Quality
from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.github import workflow_command
from fmcompress.reporting.report import PARTS, Report
from fmcompress.reporting.schema import json_document
from fmcompress.reporting.table import Table, markdown_table, plain_table
from fmcompress.sizes import format_size
from fmcompress.text import inert, printable, shortened

LONGEST_NAME = 80
"""Characters of a name that Markdown shows."""

NOTHING = "–"
QUALITY_NAMES = {"source": "checkpoint", "untuned": "quantized", "artifact": "artifact"}
FIELD_HEAD = (
    "field", "embedding", "linear", "categories", "bits/row",
    "codes", "codebooks", "raw", "linear part", "bytes", "share", "error",
)  # fmt: skip

_OPTIONAL = ("numeric_bytes", "vocabulary_bytes")
_NUMERIC = {"numeric": "numeric, fp32", "linear": "numeric, linear only"}


def to_json(report: Report) -> str:
    """Return the report as JSON, two spaces a level; figures that do not exist are null."""
    return json_document("report", report.to_dict())


def to_text(report: Report) -> str:
    """Return the report as plain text, with every field and nothing cut short."""
    width = max(len(name) for name, _ in facts(report))
    known = "\n".join(inert(f"{name.ljust(width)}  {printable(value)}") for name, value in facts(report))
    tables = [parts_table(report), fields_table(report.fields), *quality_tables(report)]
    return "\n\n".join([known, *map(plain_table, tables)]) + "\n"


def to_markdown(report: Report, *, top: int | None) -> str:
    """Return the report as Markdown, with the ``top`` largest fields; None shows all."""
    shown, left = largest(report.fields, top)
    tables = [Table(("", ""), facts(report), left=2), parts_table(report), fields_table(shown, longest=LONGEST_NAME)]
    sections = [*map(markdown_table, tables), *([left_out(left)] if left else [])]
    return "\n\n".join(["## Memory report", *sections, *map(markdown_table, quality_tables(report))]) + "\n"


def to_github(report: Report, *, name: str) -> str:
    """Return the report as a workflow command of GitHub, which shows it as an annotation."""
    left = report.budget_bytes - report.file_bytes
    size = f"{format_size(report.file_bytes)}, {left:,} bytes left of the budget"
    sentences = [size, f"{times_smaller(report)} than in fp32", *_scores_in_words(report)]
    return workflow_command("notice", f"Memory report{f' of {shortened(name, 200)}' if name else ''}",
                            "; ".join(sentences))  # fmt: skip


def largest(fields: Sequence[FieldReport], top: int | None) -> tuple[list[FieldReport], list[FieldReport]]:
    """Return the largest fields, in descending order, and the rest; all as they stand where that is none."""
    if top is None or len(fields) <= top:
        return list(fields), []
    ranked = sorted(fields, key=lambda field: -field.bytes)
    return ranked[:top], ranked[top:]


def left_out(fields: Sequence[FieldReport]) -> str:
    """Return a sentence for fields that are not shown."""
    plural = "s" if len(fields) > 1 else ""
    return f"and {len(fields):,} more field{plural}, {sum(field.bytes for field in fields):,} bytes"


def facts(report: Report) -> list[tuple[str, str]]:
    """Return what there is to know of the whole artifact."""
    slack = report.budget_bytes - report.file_bytes
    return [
        ("file", format_size(report.file_bytes)),
        ("budget", f"{format_size(report.budget_bytes)}, {slack:,} left"),
        ("checkpoint in fp32", f"{format_size(report.source_fp32_bytes)}, {report.ratio:.2f} times the file"),
        ("bits per weight", f"{report.bits_per_weight:.3f}"),
        ("in memory, scoring", format_size(report.resident_bytes)),
        ("in memory, decoded", format_size(report.decoded_bytes)),
        ("paper's Params", f"{report.paper_params_mib:.4f} MiB, of the FM {report.paper_fm_mib:.4f} MiB"),
        (f"rise of {'half the squared error' if report.regression else 'LogLoss'}", rises(report)),
        ("embedding size", str(report.dim)),
        ("link", report.link),
        ("method", f"{report.method}, seed {report.seed}"),
        ("source", source(report)),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(report.libraries.items()))),
    ]


def times_smaller(report: Report) -> str:
    """Return how much smaller the file is than the checkpoint in fp32, in words; tiny models become larger."""
    return f"{report.ratio:.1f} times smaller" if report.ratio >= 1 else f"{1 / report.ratio:.1f} times larger"


def source(report: Report) -> str:
    """Return where the artifact comes from."""
    if len(report.source) != 3:
        return "a model in memory"
    tool, name, sha256 = report.source
    return f"{name} of {tool}, SHA-256 {sha256}" if name else "a model in memory"


def rises(report: Report) -> str:
    """Return the expected rise beside the measured ones; squared errors may have any size."""
    digits = "+.3g" if report.regression else "+.5f"
    found = [f"predicted {report.predicted_rise:{digits}}"]
    if report.measured_rise_untuned is not None:
        found.append(f"measured before tuning {report.measured_rise_untuned:{digits}}")
    if report.measured_rise is not None:
        found.append(f"after {report.measured_rise:{digits}}")
    return ", ".join(found)


def shown_parts(report: Report) -> list[tuple[str, str, int]]:
    """Return the parts of the file: figure, what it is called, bytes; those that few models have only if it has."""
    return [(name, PARTS[name], size) for name, size in report.parts.items() if size or name not in _OPTIONAL]


def parts_table(report: Report) -> Table:
    """Return the table of the parts of the file."""
    parts = [(name, size) for _, name, size in shown_parts(report)]
    rows = [(name, f"{size:,}", f"{size / report.file_bytes:.1%}") for name, size in parts]
    return Table(("part", "bytes", "share"), [*rows, ("total", f"{report.file_bytes:,}", "100.0%")])


def fields_table(fields: Sequence[FieldReport], *, longest: int | None = None) -> Table:
    """Return the table of fields and of their tiers, with names of at most so many characters."""
    rows = [field_cells(part, longest=longest) for field in fields for part in (field, *field.tiers)]
    return Table(FIELD_HEAD, rows, left=3)


def field_cells(part: FieldReport, *, longest: int | None = None) -> tuple[str, ...]:
    """Return the cells of a field, or of one of its tiers, in the table of fields."""
    embedding, linear, categories = _how(part, longest)
    return (
        _name(part.name, longest),
        embedding,
        linear,
        categories,
        str(part.code_bits),
        f"{part.codes_bytes:,}",
        f"{part.codebook_bytes:,}",
        f"{part.raw_bytes:,}",
        f"{part.linear_bytes:,}",
        f"{part.bytes:,}",
        f"{part.share:.1%}",
        f"{part.error:.1e}",
    )


def _how(part: FieldReport, longest: int | None) -> tuple[str, str, str]:
    """Return how embeddings and linear weights are stored, and of how many categories."""
    if part.kind in _NUMERIC:
        return _NUMERIC[part.kind], part.linear_quantizer, NOTHING
    categories = f"{part.cardinality:,}" if part.pad is None else f"{part.cardinality:,}, PAD {part.pad}"
    if part.table is not None:
        return f"shares the table of {_name(part.table, longest)}", NOTHING, categories
    return part.quantizer, part.linear_quantizer, categories


def _name(name: str, longest: int | None) -> str:
    return name if longest is None else shortened(name, longest)


def scores(report: Report) -> dict[str, str]:
    """Return the scores that the model is measured by, and what they are called."""
    return {"rmse": "RMSE"} if report.regression else {"auc": "AUC", "logloss": "LogLoss"}


def score_text(report: Report, score: float) -> str:
    """Return a score in as many digits as it has."""
    return f"{score:{'.6g' if report.regression else '.5f'}}"


def quality_tables(report: Report) -> list[Table]:
    """Return the table of scores, if there are any."""
    measured = [(shown, found) for key, shown in QUALITY_NAMES.items() if (found := report.quality.get(key))]
    rows = [(shown, f"{found.rows:,}", *_scores(report, found)) for shown, found in measured]
    return [Table(("on validation data", "rows", *scores(report).values()), rows)] if report.quality else []


def _scores(report: Report, found: Quality) -> list[str]:
    return [score_text(report, getattr(found, score)) for score in scores(report)]


def _scores_in_words(report: Report) -> list[str]:
    """Return the scores of the artifact beside those of the checkpoint, as sentences."""
    artifact, before = report.quality.get("artifact"), report.quality.get("source")
    if artifact is None:
        return [f"rise of the loss: {rises(report)}"]
    found = [f"{label} {score_text(report, getattr(artifact, score))}" for score, label in scores(report).items()]
    if before is not None:
        pairs = zip(found, _scores(report, before), strict=True)
        found = [f"{now} ({was} before)" for now, was in pairs]
    return [f"on {artifact.rows:,} rows of validation data {', '.join(found)}"]
