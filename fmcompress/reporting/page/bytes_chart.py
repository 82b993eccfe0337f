"""Pictures of where the bytes are: those of the parts, before and after, and those of the fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.page.markup import Markup, element, short_name
from fmcompress.reporting.page.picture import Box, bar, clipped, picture, text
from fmcompress.reporting.render import shown_parts, times_smaller
from fmcompress.reporting.report import PARTS, Report
from fmcompress.sizes import short_size

_ROW = 50
_LIMIT = 0.003
_NAMES = "56%"
_FIELD_PARTS = ("codes_bytes", "codebook_bytes", "raw_bytes", "linear_bytes")


def kind_of(part: str) -> str:
    """Return the class that colours a part of the file, such as ``codes``."""
    return part.removesuffix("_bytes")


def parts_chart(report: Report) -> Markup:
    """Return the picture of the bytes before and after, part by part, and of the budget."""
    file, source, budget = report.file_bytes, report.source_fp32_bytes, report.budget_bytes
    longest = max(file, source)
    parts = [(kind_of(key), key, name, size) for key, name, size in shown_parts(report)]
    beside = f"the artifact, as long as it is beside: {file:,} bytes"
    shapes = [
        text("checkpoint in fp32", "0", 14),
        text(short_size(source), "100%", 14, end=True),
        *_source(report, longest),
        bar("whole", Box(0, file / longest, 50, 8), beside, file, "file_bytes"),
        _zoom(file / longest),
        text("artifact", "0", 84),
        text(f"{short_size(file)}, {times_smaller(report)}", "100%", 84, end=True),
        *_stacked(parts, file, Box(0, 1, 92, 28)),
        *_budget(report),
    ]
    told = ", ".join(f"{name} {size:,}" for _, _, name, size in parts)
    description = f"{source:,} bytes in fp32 became {file:,} bytes: {told}. The budget is {budget:,} bytes."
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
    linear = report.source_linear_bytes
    embeddings = report.source_fp32_bytes - linear
    share, title = embeddings / longest, f"embeddings in fp32: {embeddings:,} bytes"
    yield bar("before", Box(0, share, 22, 24), title, embeddings)
    title = f"linear weights in fp32: {linear:,} bytes"
    yield bar("linear", Box(share, linear / longest, 22, 24), title, linear, "source_linear_bytes")


def _budget(report: Report) -> Iterator[Markup]:
    """Yield the line of the budget: as long as it or the file is, with a mark where the budget ends."""
    file, budget = report.file_bytes, report.budget_bytes
    longest = max(file, budget)
    left = f"{budget - file:,} bytes left" if budget >= file else f"{file - budget:,} bytes too many"
    end = max(0.0, min(budget / longest, 1 - _LIMIT))
    yield text(f"budget {short_size(budget)}", "0", 146)
    yield text(left, "100%", 146, end=True)
    yield element("rect", y=154, width="100%", height=8, class_="track")
    yield bar("whole", Box(0, file / longest, 154, 8), f"the artifact: {file:,} bytes", file, "file_bytes")
    yield bar("limit", Box(end, _LIMIT, 149, 18), f"the budget: {budget:,} bytes", budget, "budget_bytes")


def _zoom(share: float) -> Markup:
    """Return what joins the artifact, small as it is, with the bar that is as wide as the picture."""
    shape = element("path", d=f"M0 0H{round(100 * share, 3):g}L100 100H0Z", class_="zoom")
    return element("svg", shape, y=58, width="100%", height=34, viewBox="0 0 100 100", preserveAspectRatio="none")


def _field(field: FieldReport, place: int, y: float, source: int, longest: float) -> Iterator[Markup]:
    """Yield the line of a field: its name and bytes, then what it had and what it has."""
    before, key = field.source_fp32_bytes / source, f"fields.{place}"
    numeric = field.kind in ("numeric", "linear")
    parts = [
        ("numeric" if numeric else kind_of(part), f"{key}.{part}", PARTS[part], getattr(field, part))
        for part in _FIELD_PARTS
        if getattr(field, part)
    ]
    had = f"{field.source_fp32_bytes:,} bytes in fp32, {before:.1%}"
    yield clipped(short_name(field.name), y, _NAMES)
    yield text(f"{short_size(field.bytes)}, {field.share:.1%}", "100%", y + 14, "number", end=True)
    yield bar("before", Box(0, before / longest, y + 20, 5), had, field.source_fp32_bytes, f"{key}.source_fp32_bytes")
    yield from _stacked(parts, field.bytes, Box(0, field.share / longest, y + 27, 10))


def _stacked(parts: Sequence[tuple[str, str, str, int]], total: int, box: Box) -> Iterator[Markup]:
    """Yield a bar of parts: of each its kind, the key of its figure, what it is called, its bytes."""
    start = box.start
    for kind, key, name, size in parts:
        part = replace(box, start=start, share=box.share * size / total)
        yield bar(kind, part, f"{name}: {size:,} bytes, {size / total:.1%}", size, key)
        start += part.share
