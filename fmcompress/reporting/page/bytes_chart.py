"""Pictures of where the bytes are: those of the parts, before and after, and those of the fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.page.markup import Markup, element, short_name
from fmcompress.reporting.page.picture import bar, clipped, picture, text
from fmcompress.reporting.render import shown_parts, times_smaller
from fmcompress.reporting.report import PARTS, Report
from fmcompress.sizes import short_size

_ROW = 50
_NAMES = "62%"
_FIELD_PARTS = ("codes_bytes", "codebook_bytes", "raw_bytes", "linear_bytes")


def kind_of(part: str) -> str:
    """Return the class that colours a part of the file, such as ``codes``."""
    return part.removesuffix("_bytes")


def parts_chart(report: Report) -> Markup:
    """Return the picture of the bytes before and after, part by part, and of the budget."""
    file, source, budget = report.file_bytes, report.source_fp32_bytes, report.budget_bytes
    longest = max(file, source)
    left = f"{budget - file:,} bytes left"
    shapes = [
        text("checkpoint: embeddings, linear part", "0", 14),
        text(f"{short_size(source)} in fp32", "100%", 14, end=True),
        *_source(report, longest),
        bar(
            "whole",
            0,
            file / longest,
            50,
            8,
            f"the artifact, as long as it is beside: {file:,} bytes",
            "file_bytes",
            file,
        ),
        _zoom(file / longest),
        text("artifact, enlarged", "0", 84),
        text(f"{short_size(file)}, {times_smaller(report)}", "100%", 84, end=True),
        *_stacked(((kind_of(key), key, name, size) for key, name, size in shown_parts(report)), file, 92, 28),
        text(f"budget {short_size(budget)}", "0", 146),
        text(left, "100%", 146, end=True),
        element("rect", y=154, width="100%", height=8, class_="track"),
        bar(
            "whole",
            0,
            min(file / budget, 1),
            154,
            8,
            f"the artifact takes {file / budget:.2%} of the budget",
            "file_bytes",
            file,
        ),
        bar("limit", 0.997, 0.003, 149, 18, f"the budget: {budget:,} bytes", "budget_bytes", budget),
    ]
    told = ", ".join(f"{name} {size:,}" for _, name, size in shown_parts(report))
    description = f"{source:,} bytes in fp32 became {file:,} bytes: {told}. The budget is {budget:,} bytes, {left}."
    return picture("parts", "Bytes before and after, and the budget", description, 170, shapes)


def fields_chart(report: Report, fields: Sequence[FieldReport]) -> Markup:
    """Return the picture of the shares that fields have of the checkpoint and of the file."""
    source = report.source_fp32_bytes
    longest = max((max(field.share, field.source_fp32_bytes / source) for field in fields), default=1) or 1
    places = {field.name: number for number, field in enumerate(report.fields)}
    rows = [
        shape
        for row, field in enumerate(fields)
        for shape in _field(field, places[field.name], row * _ROW, source, longest)
    ]
    told = "; ".join(f"{short_name(field.name)}: {field.bytes:,} bytes, {field.share:.1%}" for field in fields)
    return picture("fields", "Fields before and after", f"Shares of the file: {told}.", len(fields) * _ROW, rows)


def _source(report: Report, longest: int) -> Iterator[Markup]:
    linear, source = report.source_linear_bytes, report.source_fp32_bytes
    embeddings = (source - linear) / longest
    yield bar("before", 0, embeddings, 22, 24, f"embeddings in fp32: {source - linear:,} bytes", None, source - linear)
    yield bar("linear", embeddings, linear / longest, 22, 24, f"linear weights in fp32: {linear:,} bytes",
              "source_linear_bytes", linear)  # fmt: skip


def _zoom(share: float) -> Markup:
    """Return what joins the artifact, small as it is, with the bar that is as wide as the picture."""
    shape = element("path", d=f"M0 0H{round(100 * share, 3):g}L100 100H0Z", class_="zoom")
    return element("svg", shape, y=58, width="100%", height=34, viewBox="0 0 100 100", preserveAspectRatio="none")


def _field(field: FieldReport, place: int, y: float, source: int, longest: float) -> Iterator[Markup]:
    """Yield the line of a field: its name and bytes, then what it had and what it has."""
    before = field.source_fp32_bytes / source
    key = f"fields.{place}"
    yield clipped(short_name(field.name), y, _NAMES)
    yield text(f"{short_size(field.bytes)}, {field.share:.1%}", "100%", y + 14, "number", end=True)
    yield bar("before", 0, before / longest, y + 20, 5, f"{field.source_fp32_bytes:,} bytes in fp32, {before:.1%}",
              f"{key}.source_fp32_bytes", field.source_fp32_bytes)  # fmt: skip
    numeric = field.kind in ("numeric", "linear")
    parts = [
        ("numeric" if numeric else kind_of(part), f"{key}.{part}", PARTS[part], getattr(field, part))
        for part in _FIELD_PARTS
        if getattr(field, part)
    ]
    yield from _stacked(parts, field.bytes, y + 27, 10, width=field.share / longest)


def _stacked(
    parts: Iterator[tuple[str, str, str, int]] | Sequence[tuple[str, str, str, int]],
    total: int,
    y: float,
    height: float,
    *,
    width: float = 1.0,
) -> Iterator[Markup]:
    """Yield a bar of parts: of each its kind, the key of its figure, what it is called, its bytes."""
    start = 0.0
    for kind, key, name, size in parts:
        share = width * size / total
        yield bar(kind, start, share, y, height, f"{name}: {size:,} bytes, {size / total:.1%}", key, size)
        start += share
