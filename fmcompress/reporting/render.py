"""The memory report as text, JSON and Markdown."""

from __future__ import annotations

import json
import math
from typing import Any

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.report import Report
from fmcompress.reporting.table import Table, markdown_table, plain_table
from fmcompress.sizes import format_size
from fmcompress.text import printable

_OPTIONAL = ("numeric fields", "vocabulary")
_NOTHING = "–"
_NUMERIC = {"numeric": "numeric, fp32", "linear": "numeric, linear only"}
_QUALITY_NAMES = {"source": "checkpoint", "untuned": "quantized", "artifact": "artifact"}


def to_json(report: Report) -> str:
    """Return the report as JSON, two spaces a level; figures that do not exist are null."""
    return json.dumps(without_nan(report.to_dict()), indent=2, ensure_ascii=False)


def without_nan(value: Any) -> Any:
    """Return plain data with None in place of NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_text(report: Report) -> str:
    """Return the report as plain text."""
    width = max(len(name) for name, _ in _facts(report))
    facts = "\n".join(f"{name.ljust(width)}  {printable(value)}" for name, value in _facts(report))
    tables = [plain_table(table) for table in _tables(report)]
    return "\n\n".join([facts, *tables]) + "\n"


def to_markdown(report: Report) -> str:
    """Return the report as Markdown."""
    facts = markdown_table(Table(("", ""), _facts(report), left=2))
    tables = [markdown_table(table) for table in _tables(report)]
    return "\n\n".join(["## Memory report", facts, *tables]) + "\n"


def _facts(report: Report) -> list[tuple[str, str]]:
    slack = report.budget_bytes - report.file_bytes
    tool, name, sha256 = report.source if len(report.source) == 3 else ("", "", "")
    return [
        ("file", format_size(report.file_bytes)),
        ("budget", f"{format_size(report.budget_bytes)}, {slack:,} left"),
        ("checkpoint in fp32", f"{format_size(report.source_fp32_bytes)}, {report.ratio:.2f} times the file"),
        ("bits per weight", f"{report.bits_per_weight:.3f}"),
        ("in memory, scoring", format_size(report.resident_bytes)),
        ("in memory, decoded", format_size(report.decoded_bytes)),
        ("paper's Params", f"{report.paper_params_mib:.4f} MiB, of the FM {report.paper_fm_mib:.4f} MiB"),
        (f"rise of {'half the squared error' if report.regression else 'LogLoss'}", _rises(report)),
        ("embedding size", str(report.dim)),
        ("link", report.link),
        ("method", f"{report.method}, seed {report.seed}"),
        ("source", f"{name} of {tool}, SHA-256 {sha256}" if name else "a model in memory"),
        ("made with", ", ".join(f"{name} {version}" for name, version in sorted(report.libraries.items()))),
    ]


def _rises(report: Report) -> str:
    """Return the expected rise beside the measured ones; squared errors may have any size."""
    digits = "+.3g" if report.regression else "+.5f"
    found = [f"predicted {report.predicted_rise:{digits}}"]
    if report.measured_rise_untuned is not None:
        found.append(f"measured before tuning {report.measured_rise_untuned:{digits}}")
    if report.measured_rise is not None:
        found.append(f"after {report.measured_rise:{digits}}")
    return ", ".join(found)


def _tables(report: Report) -> list[Table]:
    tables = [_parts(report), _fields(report)]
    return tables if not report.quality else [*tables, _quality(report)]


def _parts(report: Report) -> Table:
    parts = [
        ("codes", report.codes_bytes),
        ("codebooks", report.codebook_bytes),
        ("raw embeddings", report.raw_bytes),
        ("linear part and bias", report.linear_bytes),
        ("numeric fields", report.numeric_bytes),
        ("vocabulary", report.vocabulary_bytes),
        ("header", report.header_bytes),
        ("total", report.file_bytes),
    ]
    rows = [
        (name, f"{size:,}", f"{size / report.file_bytes:.1%}") for name, size in parts if size or name not in _OPTIONAL
    ]
    return Table(("part", "bytes", "share"), rows)


def _fields(report: Report) -> Table:
    head = (
        "field", "embedding", "linear", "categories", "bits/row",
        "codes", "codebooks", "raw", "linear part", "bytes", "share", "error",
    )  # fmt: skip
    rows = [_stored(part) for field in report.fields for part in (field, *field.tiers)]
    return Table(head, rows, left=3)


def _stored(part: FieldReport) -> tuple[str, ...]:
    embedding, linear, categories = _how(part)
    return (
        part.name,
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


def _how(part: FieldReport) -> tuple[str, str, str]:
    """Return how embeddings and linear weights are stored, and of how many categories."""
    if part.kind in _NUMERIC:
        return _NUMERIC[part.kind], part.linear_quantizer, _NOTHING
    categories = f"{part.cardinality:,}" if part.pad is None else f"{part.cardinality:,}, PAD {part.pad}"
    if part.table is not None:
        return f"shares the table of {part.table}", _NOTHING, categories
    return part.quantizer, part.linear_quantizer, categories


def _quality(report: Report) -> Table:
    scores = {"rmse": "RMSE"} if report.regression else {"auc": "AUC", "logloss": "LogLoss"}
    digits = ".6g" if report.regression else ".5f"
    rows = [
        (shown, f"{quality.rows:,}", *(f"{getattr(quality, score):{digits}}" for score in scores))
        for key, shown in _QUALITY_NAMES.items()
        if (quality := report.quality.get(key))
    ]
    return Table(("on validation data", "rows", *scores.values()), rows)
