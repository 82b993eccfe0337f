"""Tables of the page: behind each picture its figures, and all fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fmcompress.reporting.fields import FieldReport
from fmcompress.reporting.page.bytes_chart import kind_of
from fmcompress.reporting.page.markup import Markup, element, figure, joined, named
from fmcompress.reporting.page.spread_chart import NUMBERED, ranked
from fmcompress.reporting.render import (
    FIELD_HEAD,
    LONGEST_NAME,
    NOTHING,
    QUALITY_NAMES,
    facts,
    field_cells,
    score_text,
    scores,
    shown_parts,
)
from fmcompress.reporting.report import Report
from fmcompress.reporting.table import Table
from fmcompress.text import shortened

MOST_ROWS = 1_500
"""Rows of the table of fields: where tiers would make it longer, it has fields alone."""

_LONGEST_CELL = 200


def parts_of(report: Report) -> Markup:
    """Return the table of the parts of the file, which tells their colours."""
    rows = [
        [_swatch(kind_of(key), name), figure(key, size, f"{size:,}"), f"{size / report.file_bytes:.1%}"]
        for key, name, size in shown_parts(report)
    ]
    total = ["total", figure("file_bytes", report.file_bytes, f"{report.file_bytes:,}"), "100.0%"]
    note = element("p", _swatch("before", "embeddings of the checkpoint, in fp32"), class_="note")
    return joined([_table("Parts of the file", ("part", "bytes", "share"), [*rows, total], wide=False), note])


def errors_of(report: Report) -> Markup:
    """Return the table of the fields that have numbers in the picture of errors."""
    rows = [
        [
            str(number),
            named(field.name),
            figure(f"fields.{place}.bytes", field.bytes, f"{field.bytes:,}"),
            f"{field.share:.1%}",
            figure(f"fields.{place}.error", field.error, f"{field.error:.1e}"),
            _share(field.error, report),
        ]
        for number, (place, field) in enumerate(ranked(report)[:NUMBERED], 1)
        if field.error
    ]
    head = ("no.", "field", "bytes", "of the file", "error", "of all errors")
    return _table("Fields with the largest errors", head, rows, left=2)


def scores_of(report: Report) -> Markup:
    """Return the table of scores on validation data, and how far they are from the checkpoint's."""
    kinds = scores(report)
    head = ["on validation data", "rows", *(title for label in kinds.values() for title in (label, f"Δ{label}"))]
    rows = [
        [shown, figure(f"quality.{key}.rows", found.rows, f"{found.rows:,}"), *_scores(report, key)]
        for key, shown in QUALITY_NAMES.items()
        if (found := report.quality.get(key))
    ]
    return _table("Scores", head, rows)


def all_fields(report: Report) -> Markup:
    """Return the table of all fields, the largest first, with their places in the model."""
    with_tiers = sum(1 + len(field.tiers) for field in report.fields) <= MOST_ROWS
    ranking = sorted(enumerate(report.fields), key=lambda entry: -entry[1].bytes)
    rows = [row for place, field in ranking for row in _field(place, field, with_tiers=with_tiers)]
    return _table("All fields, the largest first", ("no.", *FIELD_HEAD), rows, left=4)


def facts_of(report: Report) -> Markup:
    """Return what there is to know of the whole artifact."""
    pairs = [
        element("div", element("dt", name), element("dd", shortened(value, _LONGEST_CELL)))
        for name, value in facts(report)
        if value
    ]
    return element("dl", *pairs)


def plain(caption: str, table: Table) -> Markup:
    """Return a table of texts."""
    rows = [[shortened(cell, LONGEST_NAME) for cell in row] for row in table.rows]
    return _table(caption, table.head, rows, left=table.left)


def _field(place: int, field: FieldReport, *, with_tiers: bool) -> Iterator[list[str]]:
    """Yield the row of a field, and those of its tiers."""
    _, *cells, size, share, error = field_cells(field, longest=LONGEST_NAME)
    key = f"fields.{place}"
    yield [
        str(place + 1),
        named(field.name),
        *cells,
        figure(f"{key}.bytes", field.bytes, size),
        share,
        figure(f"{key}.error", field.error, error),
    ]
    for number, tier in enumerate(field.tiers if with_tiers else (), 1):
        yield ["", f"tier {number} of {len(field.tiers)}", *field_cells(tier)[1:]]


def _scores(report: Report, key: str) -> Iterator[str]:
    found, source = report.quality[key], report.quality.get("source")
    for score in scores(report):
        value = getattr(found, score)
        yield figure(f"quality.{key}.{score}", value, score_text(report, value))
        change = math.nan if source is None else value - getattr(source, score)
        yield f"{change:+.5f}" if math.isfinite(change) else NOTHING


def _share(error: float, report: Report) -> str:
    """Return the share of an error; there is none where some are negative, or are not known."""
    return f"{error / report.predicted_rise:.1%}" if all(field.error >= 0 for field in report.fields) else NOTHING


def _swatch(kind: str, name: str) -> Markup:
    square = element("rect", width=12, height=12, class_=kind)
    return element("span", element("svg", square, width=12, height=12, aria_hidden="true"), " ", name)


def _table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, wide: bool = True
) -> Markup:
    """Return a table, which moves within its box where it is wider than that.

    Args:
        caption: what it is.
        head: titles of the columns.
        rows: the cells: markup, and text.
        left: how many of the first columns are texts.
        wide: whether it is wider than a phone, so that the keys must reach it.
    """
    table = element(
        "table",
        element("caption", caption),
        element("thead", _row("th", head, left, scope="col")),
        element("tbody", *(_row("td", row, left) for row in rows)),
    )
    if not wide:
        return element("div", table, class_="scroll")
    return element("div", table, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _row(tag: str, cells: Sequence[str], left: int, scope: str | None = None) -> Markup:
    texts = [element(tag, cell, scope=scope, class_="t") for cell in cells[:left]]
    return element("tr", *texts, *(element(tag, cell, scope=scope) for cell in cells[left:]))
